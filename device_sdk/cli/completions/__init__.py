"""Completion scripts for shells, made by `./run completions` with shtab out of the parser; a device needs only the scripts."""

from __future__ import annotations

import argparse

_FILE = {"bash": "_shtab_compgen_files", "zsh": "_files"}
_DIRECTORY = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/"}


def completable_parser() -> argparse.ArgumentParser:
    """The whole parser, with notes for shtab about which arguments are files and directories."""
    from device_sdk.cli.main import build_parser

    parser = build_parser()
    _mark(parser)
    return parser


def _mark(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:  # argparse shows them nowhere else, and shtab reads them here too
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _mark(command)
        elif action.metavar in ("FILE", "DIR"):
            action.complete = _FILE if action.metavar == "FILE" else _DIRECTORY  # type: ignore[attr-defined]  # shtab's own attribute
