"""`device-sdk-sim users`: who may log in at a reference server with a password; on the state directory, running or not."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.queue import opened_database
from device_sdk_simulators.cli.speaking import UsageError, printable, say
from device_sdk_simulators.softhsm import SimulatorError


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("users", help="who may log in at a reference server with a password")
    parser.add_argument("action", choices=("list", "remove"))
    parser.add_argument("name", nargs="?", type=types.user, help="for remove")
    parser.add_argument("--json", action="store_true", help="for list: as one JSON object")
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from device_sdk_simulators.passwords import Users

    if (options.action == "remove") != (options.name is not None):
        raise UsageError("remove needs the name of a user, list has none")
    with opened_database(options) as database:
        users = Users(database)
        if options.action == "list":
            names = users.names()
            say(json.dumps({"users": names}) if options.json else "\n".join(map(printable, names)))
        elif not users.remove(options.name):
            raise SimulatorError(f"there is no user {options.name}")
        else:
            say(f"removed {options.name}; certificates issued to that user stay until they are revoked")
    return 0
