"""`device-sdk-sim softhsm`: a private SoftHSM2 token for a command, or until it is told to stop."""

from __future__ import annotations

import argparse
from pathlib import Path

from device_sdk_simulators.cli.serve import serve
from device_sdk_simulators.softhsm import SoftHsm


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("softhsm", help="a private SoftHSM2 token")
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep the token here; temporary if not given")
    parser.add_argument("--label", default="device", help="token label (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="describe the token as one JSON line")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="-- CMD ARGS", help="run this with the token in its environment"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    with SoftHsm(options.state, label=options.label) as token:
        facts = {
            "module_path": token.module_path,
            "label": token.label,
            "serial": token.serial,
            "uri": token.uri,
            "pin_file": str(token.pin_file),
        }
        return serve(
            facts, token.environment | {"TOKEN_URI": token.uri, "TOKEN_PIN_FILE": str(token.pin_file)}, options
        )
