"""Whether the ledger is whole: every hash, every link, nothing missing in the middle or at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from device_sdk.errors import ConfigurationError, LedgerError
from device_sdk.station.ledger import chain, derived, guards, schema
from device_sdk.station.ledger.chain import TAMPERED
from device_sdk.station.ledger.database import Database
from device_sdk.station.ledger.entry import Entry, Head, digest, genesis

_PAGE = 500
_HEAD = re.compile(r"([0-9a-f]{32}):([0-9]{1,18}):([0-9a-f]{64})")


@dataclass(frozen=True)
class Verdict:
    """The ledger is whole.

    Attributes:
        head: the last entry that was looked at.
        first: time of the first entry, RFC 3339; None where there is none.
        last: time of the last one.
    """

    head: Head
    first: str | None
    last: str | None


def parse_head(text_: str) -> Head:
    """What `str(Head)` and `device-sdk provision ledger head` print.

    Raises:
        ConfigurationError: it is no such thing.
    """
    match = _HEAD.fullmatch(text_.strip())
    if match is None:
        raise ConfigurationError("this is no head of a ledger", hint="ID:NUMBER:HASH, as `ledger head` prints it")
    return Head(match[1], int(match[2]), match[3])


def verify(database: Database, ledger: str, kept: Head | None) -> Verdict:
    """Check a ledger page by page; entries that are appended meanwhile are checked, too.

    Raises:
        LedgerError: `entry` is the number of the first bad entry, if it is an entry.
    """
    walk = Walk(ledger, kept)
    while True:
        with database.read(long=True) as connection:
            found = chain.page(connection, walk.number, _PAGE, read=chain.of_row)
            end = chain.last(connection, ledger).number
            for entry in found:
                walk.take(entry, end)
            derived.check_kept(connection, found)
            if not found:
                walk.end(connection)
                return Verdict(Head(ledger, walk.number, walk.hash), walk.first, walk.last)


class Walk:
    """Where the verification is."""

    def __init__(self, ledger: str, kept: Head | None) -> None:
        self.number, self.hash = 0, genesis(ledger)
        self.first: str | None = None
        self.last: str | None = None
        self._ledger, self._kept = ledger, kept
        if kept is not None and kept.ledger != ledger:
            raise LedgerError(
                f"the head is of ledger {kept.ledger}, this is {ledger}", hint="name the ledger it was taken from"
            )
        self._compare()

    def take(self, entry: Entry, end: int) -> None:
        """The next entry; the head says that the last one is `end`."""
        number = self.number + 1
        if entry.number != number:
            raise _bad(number, f"is missing: the next one is {entry.number}")
        if end < number:
            raise _bad(number, f"is not that of the head, which says {end}: it was put there, and nobody believes it")
        if entry.previous != self.hash:
            raise _bad(number, "does not follow the one before it")
        if digest(entry.document()) != entry.hash:
            raise _bad(number, "is not as it was written")
        self.number, self.hash = number, entry.hash
        self.first, self.last = self.first or entry.time, entry.time
        self._compare()

    def reach(self, head: Head) -> None:
        """After the last entry: it is that of the head."""
        if (head.number, head.hash) != (self.number, self.hash):
            words = (
                f"was cut off: the head record says {head.number}"
                if head.number > self.number
                else "is not that of the head"
            )
            raise _bad(self.number + (head.number > self.number), words)

    def end(self, connection: Connection) -> None:
        """After the last entry."""
        self.reach(chain.last(connection, self._ledger))
        if self._kept is not None and self._kept.number > self.number:
            raise _bad(self.number + 1, f"was cut off: there were {self._kept.number} when the head was taken")
        first = connection.execute(select(func.min(schema.entries.c.number))).scalar()
        if first is not None and first < 1:
            raise _bad(first, "is before the first one: no ledger wrote it")
        guards.check(connection)
        derived.check_rows(connection)

    def _compare(self) -> None:
        kept = self._kept
        if kept is not None and kept.number == self.number and kept.hash != self.hash:
            raise _bad(self.number, "is another one than when the head was taken: the ledger was written anew")


def _bad(number: int, words: str) -> LedgerError:
    return LedgerError(f"entry {number} {words}", hint=TAMPERED, entry=number)
