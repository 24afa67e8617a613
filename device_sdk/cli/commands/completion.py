"""`device-sdk completion`: print the completion script for a shell; the scripts are made with shtab when the SDK is built."""

from __future__ import annotations

import argparse
from importlib.resources import files

from device_sdk.cli.output import Output
from device_sdk.cli.settings import Settings


def add_arguments(parser: argparse.ArgumentParser, _name: str, _common: argparse.ArgumentParser) -> None:
    """Describe the command."""
    parser.add_argument("shell", choices=("bash", "zsh"), help="which shell")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, _settings: Settings, out: Output) -> int:
    script = files("device_sdk.cli").joinpath("completions", f"device-sdk.{options.shell}").read_text()
    out.data({"shell": options.shell, "script": script}, script)
    return 0
