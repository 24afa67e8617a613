"""Making a ledger, and knowing one."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from sqlalchemy import Connection, Engine, insert, select

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import postgresql, schema, sqlite
from device_sdk.station.ledger.database import Database
from device_sdk.station.ledger.entry import VERSION, genesis, time_text


def fill_new(engine: Engine, clock: Callable[[], float] | None) -> None:
    """Make the tables of a new ledger in an SQLite file."""
    with engine.connect().execution_options(ledger_write=True) as connection, connection.begin():
        fill(connection, (clock or sqlite.now)())


def fill(connection: Connection, now: float) -> None:
    """Make the tables of a new ledger."""
    ledger = secrets.token_hex(16)
    schema.metadata.create_all(connection)
    about = {"id": ledger, "version": str(VERSION), "made": time_text(now)}
    connection.execute(insert(schema.about), [{"name": name, "value": value} for name, value in about.items()])
    connection.execute(insert(schema.head).values(single=1, number=0, hash=genesis(ledger)))
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
