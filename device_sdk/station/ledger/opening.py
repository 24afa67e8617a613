"""Making a ledger, and knowing one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, insert, select

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import postgresql, schema, sqlite
from device_sdk.station.ledger.database import Database
from device_sdk.station.ledger.entry import VERSION, genesis, time_text


@dataclass(frozen=True)
class Contents:
    """What a ledger begins with.

    Attributes:
        ledger: its id.
        write: puts entries into its tables, before the triggers are there; POSIX seconds are given.
    """

    ledger: str
    write: Callable[[Connection, float], None]


def fill_new(engine: Engine, clock: Callable[[], float] | None, contents: Contents | None = None) -> None:
    """Make the tables of a new ledger in an SQLite file."""
    with engine.connect().execution_options(ledger_write=True) as connection, connection.begin():
        fill(connection, (clock or sqlite.now)(), contents)


def fill(connection: Connection, now: float, contents: Contents | None = None) -> None:
    """Make the tables of a new ledger; it is empty unless there is something that it begins with."""
    ledger = secrets.token_hex(16) if contents is None else contents.ledger
    schema.metadata.create_all(connection)
    about = {"id": ledger, "version": str(VERSION), "made": time_text(now)}
    connection.execute(insert(schema.about), [{"name": name, "value": value} for name, value in about.items()])
    connection.execute(insert(schema.head).values(single=1, number=0, hash=genesis(ledger)))
    if contents is not None:
        contents.write(connection, now)
    for line in schema.GUARDS[connection.dialect.name]:
        connection.exec_driver_sql(line)


def checked_id(connection: Connection, database: Database) -> str:
    """The id of the ledger that is there.

    Raises:
        LedgerError: there is none, or it is of another version.
    """
    if database.dialect == "postgresql" and not postgresql.has_tables(connection):
        raise LedgerError(
            f"{database.name}: there is no ledger in this database", hint="device-sdk provision run makes one"
        )
    about = {row.name: row.value for row in connection.execute(select(schema.about))}
    version = about.get("version")
    if version != str(VERSION):
        raise LedgerError(
            f"{database.name}: the ledger is of version {version}, this program writes version {VERSION}",
            hint="use the release of the SDK that made it; it was not touched",
        )
    return str(about.get("id", ""))
