"""`device-sdk est tamp`: a message about this device's trust anchors is fetched, checked, done and answered (RFC 8295 section 7)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from device_sdk.cli import waiting
from device_sdk.cli.commands import enroll
from device_sdk.cli.commands.sync import CONNECTION, connection_plan
from device_sdk.cli.output import Output, one_line
from device_sdk.cli.settings import Settings, add_settings

if TYPE_CHECKING:
    from device_sdk.client.device.managed import ManagedOutcome

_FAILED = 1


def add_operation(
    operations: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Describe it: unlike the others it is about the device of a state directory."""
    words = "do what a message about trust anchors says, and answer it (RFC 8295 section 7, RFC 5934)"
    operation = operations.add_parser(
        "tamp", help=words, description=words[:1].upper() + words[1:] + ".", parents=[common]
    )
    add_settings(operation, *CONNECTION)
    operation.add_argument("--plan", action="store_true", help="only show what it would do; the server is told nothing")
    operation.add_argument(
        "--place",
        metavar="TARGET",
        help="which message: `where` of an entry of type 0028 to 0036 (default: the server's choice)",
    )
    operation.set_defaults(run=run)


def run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """`est tamp`."""
    device = enroll.device_of(settings, out)
    enroll.require_directory(device)
    plan = connection_plan(settings, out)
    try:
        found = (device.anchor_plan if options.plan else device.manage_anchors)(options.place, plan)
    finally:
        waiting.erase_line()
    return _told(found, out)


def _told(found: ManagedOutcome | None, out: Output) -> int:
    if found is None:
        out.data({"message": None}, "the server has no message about trust anchors for this device")
        return 0
    for words in (*found.notes, *found.delivery.words):
        out.say(f"note: {words}")
    out.data(found.to_json(), "\n".join(one_line(line) for line in found.lines))
    return _FAILED if found.failed else 0
