"""`device-sdk-sim list|approve|deny|revoke`: what a person decides about a reference server's requests and certificates.

They work on the state directory, whether the server runs or not.
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
from device_sdk_simulators.cli.speaking import complain, printable, say
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from device_sdk_simulators.database import Database

_number = types.whole_number(1, 10**9)


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the commands."""
    listing = commands.add_parser("list", help="requests, certificates and CALE registrations of a reference server")
    listing.add_argument("--json", action="store_true", help="as one JSON object")
    listing.set_defaults(run=_list)
    for name, help_text in (
        ("approve", "let waiting requests through, or one that was denied"),
        ("deny", "turn waiting requests down"),
    ):
        parser = commands.add_parser(name, help=help_text)
        parser.add_argument(
            "number", nargs="?", type=_number, help="of the request, as `list` shows it; all that wait if not given"
        )
        parser.set_defaults(run=_decide, approve=name == "approve")
    revoking = commands.add_parser("revoke", help="revoke a certificate or a CALE registration")
    revoking.add_argument("what", metavar="SERIAL|GUID", help="serial number in hex, or the GUID")
    revoking.set_defaults(run=_revoke)
    for parser in (listing, commands.choices["approve"], commands.choices["deny"], revoking):
        parser.add_argument("--state", type=Path, metavar="DIR", required=True, help="the server's state directory")


@contextmanager
def opened_database(options: argparse.Namespace) -> Iterator[Database]:
    """The database of the state directory that --state names; SimulatorError if there is none, or it cannot be used."""
    from device_sdk_simulators.database import Database

    path = options.state / "server.sqlite"
    if not path.exists():
        raise SimulatorError(f"{options.state} is not the state directory of a reference server")
    database = Database(path)
    try:
        yield database
    except sqlite3.Error as error:
        raise SimulatorError(f"{path}: {error}") from error
    finally:
        database.close()


def _list(options: argparse.Namespace) -> int:
    from device_sdk_simulators.est.approved import summary

    queries = {
        "requests": "SELECT id, state, operation, label, identity, subject, created_at, csr FROM requests"
        " WHERE state != 'issued' ORDER BY id",
        "certificates": "SELECT serial, label, subject, mac_address, issued_to, issued_at, not_after, revoked_at"
        " FROM certificates ORDER BY rowid",
        "registrations": "SELECT guid, identity, created_at, revoked_at FROM registrations ORDER BY rowid",
    }
    with opened_database(options) as database:
        tables = {name: [dict(row) for row in database.rows(query)] for name, query in queries.items()}
        away = database.row("SELECT count, last_at, identity, why FROM turned_away")
    tables["requests"] = [row | summary(row.pop("csr")) for row in tables["requests"]]
    if options.json:
        say(json.dumps(tables | {"turned_away": None if away is None else dict(away)}))
        return 0
    notes = (
        {}
        if away is None
        else {"requests": f" ({away['count']} turned away, the last at {away['last_at']}: {away['why']})"}
    )
    for name, rows in tables.items():
        say("\n".join([f"{name}: {len(rows)}{notes.get(name, '')}", *table_of(rows)]))
    return 0


def table_of(rows: list[dict[str, object]]) -> list[str]:
    """Lines with a head, as wide as their content; columns nobody has anything in are left out."""
    heads = [name for name in (rows[0] if rows else {}) if any(row[name] not in (None, "") for row in rows)]
    cells = [heads, *([_cell(row[name]) for name in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in cells if line]


def _cell(value: object) -> str:
    return "-" if value in (None, "") else printable(value)


def _decide(options: argparse.Namespace) -> int:
    from device_sdk_simulators.est.queue import ApprovalQueue

    with opened_database(options) as database:
        count = ApprovalQueue(database).decide(options.number, approve=options.approve)
        row = database.row("SELECT state FROM requests WHERE id = ?", options.number)
    if count:
        say(f"{count} {'approved' if options.approve else 'denied'}")
        return 0
    if options.number is None:
        complain("no request is waiting")
    elif row is None:
        complain(f"there is no request {options.number}; `list` shows those there are")
    else:
        complain(f"request {options.number} does not wait any more: it is {row['state']}")
    return 1


def _revoke(options: argparse.Namespace) -> int:
    now = datetime.now(UTC).isoformat()
    serial = options.what.lower().replace(":", "").lstrip("0")
    with opened_database(options) as database:
        row = database.row("SELECT label FROM certificates WHERE serial = ?", serial)
        count = database.execute(
            "UPDATE certificates SET revoked_at = ? WHERE serial = ? AND revoked_at IS NULL", now, serial
        ) + database.execute(
            "UPDATE registrations SET revoked_at = ? WHERE guid = ? AND revoked_at IS NULL", now, options.what.lower()
        )
    if not count:
        complain(f"nothing to revoke: {options.what}")
        return 1
    say(f"revoked {options.what}" + (f", label {row['label']}" if row is not None and row["label"] else ""))
    return 0
