"""Entry point of `device-sdk-sim`."""

from __future__ import annotations

import argparse
import sys
import warnings
from importlib import import_module

from device_sdk_simulators import __version__
from device_sdk_simulators.cli.speaking import Parser, complain
from device_sdk_simulators.cli.stopping import Stop
from device_sdk_simulators.softhsm import SimulatorError

_COMMANDS = ("server", "cale", "softhsm", "swtpm", "fleet", "virtual")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="device-sdk-sim", description="Stand-ins for tokens, TPMs and servers, for tests and demonstrations."
    )
    parser.add_argument("--version", action="version", version=f"device-sdk-sim {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        import_module(f"device_sdk_simulators.cli.{name}").add_parser(commands)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command until it is done or told to stop; returns the exit code."""
    # told to stop, a simulator ends through its context manager, so that nothing is left behind
    stop = Stop()
    # of the cryptography package about names in requests, which are refused with words of their own
    warnings.filterwarnings("ignore", message="Attribute's length")
    options = _parser().parse_args(arguments)
    options.stop = stop
    try:
        return int(options.run(options) or 0)
    except (SimulatorError, OSError) as error:
        complain(error)
        return 2


if __name__ == "__main__":
    sys.exit(main())
