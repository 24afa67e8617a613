"""Certificate-less TLS on the command line: options of `device-sdk-sim server`, and `device-sdk-sim srp` for its users.

`srp` works on the state directory, whether the server runs or not.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.option_files import read_password
from device_sdk_simulators.cli.speaking import UsageError, printable, say
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from device_sdk_simulators.database import Database
    from device_sdk_simulators.srp.service import SrpSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options of the server."""
    group = parser.add_argument_group("TLS without certificates (SRP, RFC 5054)")
    group.add_argument("--srp", action="store_true", help="offer it, on a port of its own")
    group.add_argument("--srp-port", type=types.port, metavar="PORT", help="0 picks a free one (default)")
    group.add_argument("--srp-user", type=types.user, metavar="NAME", help="a user that may enrol (default: device)")
    group.add_argument(
        "--srp-password-file",
        type=Path,
        metavar="FILE",
        help="that user's password, on the first line; if not given, one is made at the first start",
    )


def settings(options: argparse.Namespace) -> SrpSettings | None:
    """What the options say, or None without --srp; UsageError."""
    from device_sdk_simulators.srp.service import SrpSettings
    from device_sdk_simulators.srp.verifier import prepared

    given = (options.srp_port, options.srp_user, options.srp_password_file)
    if not options.srp:
        if any(value is not None for value in given):
            raise UsageError("--srp-port, --srp-user and --srp-password-file need --srp")
        return None
    password = read_password(options.srp_password_file, "--srp-password-file") if options.srp_password_file else None
    user = "device" if options.srp_user is None else options.srp_user
    try:
        prepared(user, password or "any")
    except ValueError as error:
        raise UsageError(f"--srp-user and its password: {error}") from error
    return SrpSettings(options.srp_port or 0, user, password)


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = commands.add_parser("srp", help="who may enrol at a reference server by TLS without certificates")
    parser.add_argument("action", choices=("list", "add", "unlock"), help="unlock: forget a user's wrong passwords")
    parser.add_argument("name", nargs="?", type=types.user, help="of the user, for add and unlock")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="for add: the password, on the first line")
    parser.add_argument("--json", action="store_true", help="for list: as one JSON object")
    parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if (options.action == "list") == (options.name is not None):
        raise UsageError("add and unlock need the name of a user, list has none")
    if (options.action == "add") == (options.password_file is None):
        raise UsageError("add needs --password-file, the others have none")
    with _database(options.state) as database:
        return {"list": _list, "add": _add, "unlock": _unlock}[options.action](database, options)


@contextmanager
def _database(state: Path) -> Iterator[Database]:
    from device_sdk_simulators.database import Database

    path = state / "server.sqlite"
    if not path.exists():
        raise SimulatorError(f"{state} is not the state directory of a reference server")
    database = Database(path)
    try:
        yield database
    except sqlite3.Error as error:
        raise SimulatorError(f"{path}: {error}") from error
    finally:
        database.close()


def _list(database: Database, options: argparse.Namespace) -> int:
    from device_sdk_simulators.backoff import BackOff, Guard
    from device_sdk_simulators.srp.users import SrpUsers

    names = SrpUsers(database).names()
    failures = Guard(database, lambda: datetime.now(UTC), BackOff()).failures()
    if options.json:
        say(json.dumps({"users": names, "failures": failures}))
    else:
        say(
            "\n".join(
                [
                    *map(printable, names),
                    *(f"{printable(who)}: {count} wrong passwords in a row" for who, count in failures.items()),
                ]
            )
        )
    return 0


def _add(database: Database, options: argparse.Namespace) -> int:
    from device_sdk_simulators.srp.users import SrpUsers

    try:
        SrpUsers(database).add(options.name, read_password(options.password_file))
    except ValueError as error:
        raise UsageError(f"{options.name}: {error}") from error
    return 0


def _unlock(database: Database, options: argparse.Namespace) -> int:
    from device_sdk_simulators.backoff import BackOff, Guard

    if not Guard(database, lambda: datetime.now(UTC), BackOff()).unlock(options.name):
        raise SimulatorError(f"user {options.name} has no wrong passwords")
    return 0
