"""`device-sdk provision`: a station with devices on serial lines, and the ledger of what became of them."""

from __future__ import annotations

import argparse
from importlib import import_module

_VERBS = {
    "run": "take the devices on serial lines through the steps of a profile",
    "web": "the station page: benches live, history, failures",
    "ledger": "what happened to which device: verify, show, export, head",
    "label": "labels with serial number and certificate, for people and as QR code",
    "report": "what became of a run: devices, rates, failures; as page and PDF",
}
"""Each is a module of `cli.station` with `add_arguments(parser, common)`."""


def add_arguments(parser: argparse.ArgumentParser, _name: str, common: argparse.ArgumentParser) -> None:
    """Describe the verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, words in _VERBS.items():
        verb = verbs.add_parser(name, help=words, description=words[:1].upper() + words[1:] + ".", parents=[common])
        import_module(f"device_sdk.cli.station.{name}").add_arguments(verb, common)
