"""`device-sdk-sim list|approve|deny|revoke`: what a person decides about a reference server's requests and certificates.

They work on the state directory, whether the server runs or not.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli.speaking import printable, say
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from device_sdk_simulators.database import Database


def add_parsers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the commands."""
    listing = commands.add_parser("list", help="requests, certificates and CALE registrations of a reference server")
    listing.add_argument("--json", action="store_true", help="as one JSON object")
    listing.set_defaults(run=_list)
    for name, help_text in (("approve", "let waiting requests through"), ("deny", "turn waiting requests down")):
        parser = commands.add_parser(name, help=help_text)
        parser.add_argument("number", nargs="?", type=int, help="of the request, as `list` shows it; all if not given")
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
    tables["requests"] = [row | summary(row.pop("csr")) for row in tables["requests"]]
    if options.json:
        say(json.dumps(tables))
        return 0
    for name, rows in tables.items():
        lines = [
            "  " + "  ".join(printable(value) for value in row.values() if value not in (None, "")) for row in rows
        ]
        say("\n".join([f"{name}: {len(rows)}", *lines]))
    return 0


def _decide(options: argparse.Namespace) -> int:
    from device_sdk_simulators.est.queue import ApprovalQueue

    with opened_database(options) as database:
        count = ApprovalQueue(database).decide(options.number, approve=options.approve)
    say(f"{count} {'approved' if options.approve else 'denied'}")
    return 0 if count else 1


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
        print(f"nothing to revoke: {options.what}", file=sys.stderr)
        return 1
    say(f"revoked {options.what}" + (f", label {row['label']}" if row is not None and row["label"] else ""))
    return 0
