"""A ledger to go on with, made of what is sound in another one. The other one stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection, exc, func, insert, or_, select, update

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import chain, identities, opening, postgresql, schema, sqlite
from device_sdk.station.ledger.database import Database, failure
from device_sdk.station.ledger.entry import Entry, Head
from device_sdk.station.ledger.place import is_url, shown
from device_sdk.station.ledger.verify import Walk

_AT_ONCE = 500
_WAIT_S = 60.0
_E = schema.entries.c


@dataclass(frozen=True)
class Copied:
    """What became of it.

    Attributes:
        head: the last entry that was taken; its id is that of both ledgers.
        left: how many entries were left out.
        reason: what is wrong with the first of those; None if the chain was whole.
    """

    head: Head
    left: int
    reason: str | None


def copy_ledger(
    source: str | Path, place: str | Path, *, wait_s: float = _WAIT_S, clock: Callable[[], float] | None = None
) -> Copied:
    """Make a ledger of the entries of another one, from the first to the last before something is wrong.

    They are the same entries with the same hashes in a ledger of the same id, so that heads that were kept are still in it. A
    note behind them says what was done. What devices are told apart by is made anew of the entries; nobody has a claim.

    Args:
        source: path or URL of the ledger that is there; stations that write to it meanwhile are not waited for.
        place: path or URL of the new one.
        wait_s: how long to wait for others, seconds.
        clock: as for `Ledger.open`.

    Raises:
        ConfigurationError: one of them cannot be a place.
        MissingDependencyError: the driver is not installed.
        LedgerError: there is a ledger already, or the other one cannot be read, or nothing of it is sound.
    """
    old = Database(str(source), create=False, read_only=True, wait_s=wait_s, clock=clock)
    try:
        with old.read(long=True) as connection:
            sound = _Sound(connection, old)
            _make(str(place), wait_s, clock, opening.Contents(sound.ledger, sound.write))
            return Copied(sound.head, sound.left, sound.reason)
    finally:
        old.close()


def _make(place: str, wait_s: float, clock: Callable[[], float] | None, contents: opening.Contents) -> None:
    there = LedgerError(f"{shown(place)}: there is a ledger already", hint="name a new file, or an empty database")
    if not is_url(place):
        if os.path.lexists(place):
            raise there
        sqlite.make(Path(place), wait_s, lambda engine: opening.fill_new(engine, clock, contents))
        return
    new = Database(place, create=True, read_only=False, wait_s=wait_s, clock=clock)
    try:
        with new.write(long=True) as connection:
            postgresql.alone(connection)
            if postgresql.has_tables(connection):
                raise there
            opening.fill(connection, new.now(connection), contents)
    finally:
        new.close()


class _Sound:
    """The entries of a ledger as far as they are sound.

    Attributes:
        ledger: its id.
        left: how many were left out.
        reason: what is wrong with the first of those.
    """

    def __init__(self, connection: Connection, database: Database) -> None:
        self.ledger = opening.checked_id(connection, database)
        self.left = 0
        self.reason: str | None = None
        self._connection, self._name = connection, database.name
        self._walk = Walk(self.ledger, None)

    @property
    def head(self) -> Head:
        """The last one that is sound."""
        return Head(self.ledger, self._walk.number, self._walk.hash)

    def write(self, connection: Connection, now: float) -> None:
        """Put them into a new ledger, and a note behind them."""
        sound = self._entries()
        while entries := list(islice(sound, _AT_ONCE)):
            connection.execute(insert(schema.entries), [chain.values_of(entry) for entry in entries])
            for entry in entries:
                if entry.claim is not None and entry.device is not None:
                    identities.remember(connection, entry.device, entry.facts, entry.number)
        outside = or_(_E.number < 1, _E.number > self.head.number)
        self.left = self._connection.execute(select(func.count()).where(outside)).scalar_one()
        if self.reason is not None and self.head.number == 0:
            raise LedgerError(f"{self._name}: nothing of this ledger is sound: {self.reason}", hint=chain.TAMPERED)
        connection.execute(update(schema.head).values(number=self.head.number, hash=self.head.hash))
        facts = {"copied_from": self._name, "entries": self.head.number, "left_out": self.left, "reason": self.reason}
        chain.append(connection, self.head, now, "note", {"outcome": "copied", "facts": facts})

    def _entries(self) -> Iterator[Entry]:
        try:
            end = chain.last(self._connection, self.ledger)
            query = select(schema.entries).where(_E.number > 0).order_by(_E.number)
            with self._connection.execution_options(yield_per=_AT_ONCE).execute(query) as rows:
                for row in rows:
                    entry = chain.of_row(row)
                    self._walk.take(entry, end.number)
                    yield entry
            self._walk.reach(end)
        except LedgerError as error:
            self.reason = error.message
        except exc.SQLAlchemyError as error:
            raise failure(self._name, "read", error) from error
