"""Whether what the ledger looks things up by is what its entries say: else a copied device would pass unnoticed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, select

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import schema
from device_sdk.station.ledger.entry import Entry
from device_sdk.station.ledger.identities import named

_AT_ONCE = 500
_I, _E = schema.identities.c, schema.entries.c


def check_kept(connection: Connection, entries: Iterable[Entry]) -> None:
    """Every address and key in these entries is known, or was replaced by a later one.

    Raises:
        LedgerError: one is not; `entry` is where it stands.
    """
    said = [(entry, kind, value) for entry in entries if entry.claim is not None for kind, value in named(entry.facts)]
    for place in range(0, len(said), _AT_ONCE):
        some = said[place : place + _AT_ONCE]
        values = {value for _, _, value in some}
        rows = connection.execute(select(_I.kind, _I.value).where(_I.value.in_(values)))
        known = {(row.kind, row.value) for row in rows}
        for entry, kind, value in some:
            if (kind, value) not in known and not (kind == "key" and _replaced(connection, entry)):
                raise _wrong(entry.number)


def _replaced(connection: Connection, entry: Entry) -> bool:
    query = select(_I.entry).where(_I.device == entry.device, _I.kind == "key", _I.entry > entry.number)
    return connection.execute(query).first() is not None


def check_rows(connection: Connection) -> None:
    """Everything that is known stands in the entry that it is said to be of; raises as `check_kept`."""
    query = select(_I.kind, _I.value, _I.device, _I.entry, _E.device.label("really"), _E.facts)
    joined = query.select_from(schema.identities.outerjoin(schema.entries, _I.entry == _E.number)).order_by(_I.entry)
    with connection.execution_options(yield_per=_AT_ONCE).execute(joined) as rows:
        for row in rows:
            if row.really != row.device or (row.kind, row.value) not in _of(row.facts):
                raise _wrong(int(row.entry))


def _of(facts: str) -> Iterator[tuple[str, str]]:
    return named(json.loads(facts))


def _wrong(number: int) -> LedgerError:
    return LedgerError(
        f"entry {number}: what is known of MAC addresses and keys is not what the entries say",
        hint="somebody changed it, and copied devices may have passed since: compare the entries with each other",
        entry=number,
    )
