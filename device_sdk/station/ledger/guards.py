"""Whether the triggers of a ledger are those it was made with, and no others: whoever changed them could write."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select, text

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import postgresql_guards, schema
from device_sdk.station.ledger.chain import TAMPERED

_HINT = "the entries are whole; somebody prepared to change them, or copied the database without its triggers"


def check(connection: Connection) -> None:
    """Every trigger is there, on, and does what it did when the ledger was made; there are no others.

    Raises:
        LedgerError: it is not so.
    """
    sqlite = connection.dialect.name == "sqlite"
    found, wanted = (
        _in_sqlite(connection) if sqlite else (postgresql_guards.found(connection), postgresql_guards.WANTED)
    )
    _compare("the ledger has lost what keeps it from being changed", set(wanted) - set(found))
    _compare("there are triggers that are not the ledger's", set(found) - set(wanted))
    _compare(
        "what keeps the ledger from being changed was changed", {name for name in wanted if found[name] != wanted[name]}
    )
    count = connection.execute(select(func.count()).select_from(schema.about)).scalar_one()
    if count != len(("id", "version", "made")):
        raise LedgerError("what the ledger says of itself was changed", hint=TAMPERED)


def _compare(words: str, names: set[str]) -> None:
    if names:
        raise LedgerError(f"{words}: {', '.join(sorted(names))[:300]}", hint=_HINT)


def _in_sqlite(connection: Connection) -> tuple[Mapping[str, str], Mapping[str, str]]:
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')"))
    return {name: sql for name, sql in rows}, {line.split()[2]: line for line in schema.GUARDS["sqlite"]}  # noqa: C416
