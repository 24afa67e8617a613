"""`device-sdk-sim swtpm`: a private TPM 2.0 for a command, or until it is told to stop."""

from __future__ import annotations

import argparse
from pathlib import Path

from device_sdk_simulators.cli.serve import serve
from device_sdk_simulators.swtpm import Swtpm


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("swtpm", help="a private TPM 2.0")
    parser.add_argument("--state", type=Path, metavar="DIR", help="keep the TPM's state here; temporary if not given")
    parser.add_argument("--json", action="store_true", help="describe the TPM as one JSON line")
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="-- CMD ARGS", help="run this with the TPM in its environment"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    with Swtpm(options.state) as tpm:
        return serve({"tcti": tpm.tcti, "pid": tpm.pid}, tpm.environment, options)
