"""The chain of entries: the next one is put behind the last one, in the transaction of whoever appends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exc, insert, select, update

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import content, schema
from device_sdk.station.ledger.entry import KINDS, Entry, Head, canonical, digest, time_text

_TIME = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}\.[0-9]{3}Z")
_COLUMNS = schema.entries.c
TAMPERED = (
    "somebody changed the ledger: keep it as it is, and compare it with an export; "
    "`provision ledger make --from` makes one to go on with"
)


def last(connection: Connection, ledger: str, *, lock: bool = False) -> Head:
    """The head; with `lock`, nobody else appends until the end of the transaction."""
    query = select(schema.head.c.number, schema.head.c.hash)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or not isinstance(row.number, int):
        raise LedgerError(
            "the ledger has lost its head record", hint="it was tampered with: keep it as it is, and take a copy"
        )
    return Head(ledger, int(row.number), str(row.hash))


def append(connection: Connection, head: Head, now: float, kind: str, words: Mapping[str, Any]) -> Entry:
    """Put an entry behind `head`, which is locked.

    Args:
        connection: a transaction that writes.
        head: the last entry.
        now: POSIX seconds.
        kind: one of KINDS.
        words: device, line, run, step, outcome, claim, facts; what is not there is None.

    Raises:
        LedgerError: no such kind, or facts that cannot be.
        WrongDeviceError: a serial number that cannot be.
    """
    if kind not in KINDS:
        raise LedgerError(f"{kind!r} is no kind of entry", hint="one of " + ", ".join(sorted(KINDS)))
    device = words.get("device")
    entry = Entry(
        number=head.number + 1,
        time=time_text(now),
        kind=kind,
        device=None if device is None else content.serial_number(device),
        line=content.word(words.get("line")),
        run=content.word(words.get("run")),
        step=content.word(words.get("step")),
        outcome=content.word(words.get("outcome")),
        claim=words.get("claim"),
        facts=content.bounded(words.get("facts") or {}),
        previous=head.hash,
        hash="",
    )
    entry = replace(entry, hash=digest(entry.document()))
    try:
        connection.execute(insert(schema.entries).values(values_of(entry)))
    except exc.IntegrityError as error:
        raise LedgerError(
            f"the ledger cannot be written: there is an entry {entry.number} already, and no station wrote it: the chain ends before",
            hint="`provision ledger verify` says where, and `provision ledger make --from` makes a ledger to go on with",
            entry=entry.number,
        ) from error
    connection.execute(update(schema.head).values(number=entry.number, hash=entry.hash))
    return entry


def values_of(entry: Entry) -> dict[str, object]:
    """An entry as a row of the table."""
    return vars(entry) | {"facts": canonical(entry.facts)}


def of_row(row: Row[Any]) -> Entry:
    """The entry in a row of the table.

    Raises:
        LedgerError: what is there was not written by a ledger.
    """
    values = dict(row._mapping)  # the public name of it in SQLAlchemy
    number = int(values["number"])
    if not _is_entry(values):
        raise LedgerError(f"entry {number}: is not as it was written", hint=TAMPERED, entry=number)
    try:
        facts = json.loads(values["facts"])
        if not isinstance(facts, dict) or canonical(facts) != values["facts"]:
            raise ValueError("facts")
    except (ValueError, RecursionError):
        words = f"entry {number}: its facts are not as they were written"
        raise LedgerError(words, hint=TAMPERED, entry=number) from None
    return Entry(**(values | {"facts": facts}))


def _is_entry(values: Mapping[str, Any]) -> bool:
    """Whether the columns hold what they are for; SQLite takes anything anywhere."""
    texts = all(isinstance(values[name], str) for name in ("time", "kind", "facts", "previous", "hash"))
    words = all(isinstance(values[name], str | None) for name in ("device", "line", "run", "step", "outcome"))
    return texts and words and isinstance(values["claim"], int | None) and _TIME.fullmatch(values["time"]) is not None


Reading = Callable[[Row[Any]], Entry]
"""How a row is read."""


def in_chain(connection: Connection) -> ColumnElement[bool]:
    """What a ledger wrote: from the first entry to the head. Nobody believes what stands before or behind; `verify` tells of it.

    Raises:
        LedgerError: there is no head.
    """
    return _COLUMNS.number.between(1, last(connection, "").number)


def believed(row: Row[Any]) -> Entry:
    """The entry in a row, if it is as its hash says; raises as `of_row`."""
    entry = of_row(row)
    if digest(entry.document()) != entry.hash:
        raise LedgerError(f"entry {entry.number}: is not as it was written", hint=TAMPERED, entry=entry.number)
    return entry


def page(
    connection: Connection, after: int, count: int, *conditions: ColumnElement[bool], read: Reading = believed
) -> list[Entry]:
    """The next entries behind a number, at most `count`, read as `believed` or `of_row`."""
    query = select(schema.entries).where(_COLUMNS.number > after, *conditions).order_by(_COLUMNS.number).limit(count)
    return [read(row) for row in connection.execute(query)]


def newest(connection: Connection, count: int, *conditions: ColumnElement[bool]) -> list[Entry]:
    """The last entries, the newest first."""
    query = select(schema.entries).where(in_chain(connection), *conditions)
    return [believed(row) for row in connection.execute(query.order_by(_COLUMNS.number.desc()).limit(count))]


def deciding(connection: Connection, device: str) -> list[Entry]:
    """The last entry of a device that says whether it is provisioned, if there is one.

    All stations wait while one is asked this, and a device that comes again and again has any number of entries.
    """
    return newest(connection, 1, _COLUMNS.device == device, _COLUMNS.kind.in_(("claimed", "provisioned", "failed")))


def of_device(connection: Connection, device: str) -> Iterator[Entry]:
    """All entries of a device, the oldest first."""
    query = select(schema.entries).where(in_chain(connection), _COLUMNS.device == device).order_by(_COLUMNS.number)
    return (believed(row) for row in connection.execute(query))
