"""Wrong proofs of identity, counted in the database: they fade with time, and there are never too many rows (EST-16)."""

from __future__ import annotations

import hmac
import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from device_sdk_simulators.database import Database

_TABLES = """
CREATE TABLE IF NOT EXISTS guesses (
  network TEXT NOT NULL, whole INTEGER NOT NULL, name TEXT NOT NULL, failures REAL NOT NULL, last REAL NOT NULL,
  until REAL NOT NULL, harmless REAL NOT NULL, proof BLOB, PRIMARY KEY (network, whole, name));
CREATE INDEX IF NOT EXISTS guesses_by_harm ON guesses (harmless);
CREATE TABLE IF NOT EXISTS proven (network TEXT NOT NULL, name TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (network, name));
CREATE INDEX IF NOT EXISTS proven_by_age ON proven (at)
"""
_LOOK = "SELECT * FROM guesses WHERE network = ? AND whole = ? AND name = ?"
_FORGET = "DELETE FROM guesses WHERE network = ? AND whole = ? AND name = ?"
_CLEAN_EVERY = 256
# a device that logs in every second is not written down each time
_EXACTNESS_S = 3600.0
# of a keyed hash: it tells one wrong proof from the next, and a thief of the database little of either
_TAG = 4


@dataclass(frozen=True)
class Patience:
    """How patient the server is.

    Nobody is locked, as whoever knows a name could lock its owner out: a minute between guesses is enough for good secrets.

    Attributes:
        user_tries: wrong proofs that a name from one address may have without a pause.
        address_tries: the same for an address (IPv6: its /64 network) whatever the name: many devices may share one.
        first_s: the first pause; each further wrong proof doubles it.
        longest_s: the longest pause.
        forget_one_s: one wrong proof is forgotten each time so long is over.
        remember_s: for how long the last wrong proof is known again, and who proved a name.
        max_rows: of what is counted, and of who proved a name.
    """

    user_tries: int = 20
    address_tries: int = 100
    first_s: float = 1.0
    longest_s: float = 60.0
    forget_one_s: float = 60.0
    remember_s: float = 86400.0
    max_rows: int = 100_000

    def pause_s(self, failures: float, tries: int) -> float:
        """What so many cost."""
        # what began to fade still counts as a whole one
        beyond = math.ceil(failures) - tries
        return 0.0 if beyond < 0 else min(self.first_s * 2.0 ** min(beyond, 64), self.longest_s)

    def most(self, tries: int) -> float:
        """More are not counted: the pause is the longest, and should not go on for hours when the guesses have ended."""
        return tries + math.ceil(math.log2(self.longest_s / self.first_s))


@dataclass(frozen=True)
class Count:
    """What is counted for a name at an address, or for the address (no name).

    Attributes:
        address: an IPv4 address or an IPv6 /64 network.
        name: as claimed, whether there is such a one or not; SHA-256 of a long one.
        failures: wrong proofs that are not forgotten yet.
        paused_s: how long the pause still is.
    """

    address: str
    name: str | None
    failures: int
    paused_s: int


class GuessMemory:
    """The tables.

    Args:
        database: where they are.
        clock: the time.
        patience: how many tries are free, and how long pauses are.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], patience: Patience) -> None:
        self._database, self._clock, self._patience = database, clock, patience
        for statement in _TABLES.split(";"):
            database.execute(statement)
        self._key = database.secret("guesses")
        self._writes = 0

    def left_s(self, network: str, name: str) -> float:
        """How long this name has to wait there; 0.0 for not at all.

        The address's pause is not for a name that proved itself there: it would keep out devices for the typos of others.
        """
        now = self._now()
        left_s = self._left_s(network, name, now)
        proven = "SELECT 1 FROM proven WHERE network = ? AND name = ? AND at BETWEEN ? AND ?"
        since = now - self._patience.remember_s
        if self._database.row(proven, network, name, since, now) is None:
            left_s = max(left_s, self._left_s(network, None, now))
        return left_s

    def _left_s(self, network: str, name: str | None, now: float) -> float:
        row = self._row(network, name)
        # a clock that was set back must not turn a minute into a year
        return row["until"] - now if row and now < row["until"] <= now + self._patience.longest_s else 0.0

    def failed(self, network: str, name: str, proof: bytes | None) -> None:
        """Count a wrong proof, but for the one of the last time: a device that repeats it does not guess."""
        tag = self._tag(network, name, proof)
        with self._database.transaction():
            row = self._row(network, name)
            if row is not None and tag is not None and row["proof"] == tag and self._recent(row["last"]):
                return
            self._count(network, name, self._patience.user_tries, tag)
            self._count(network, None, self._patience.address_tries, None)
            self._clean()

    def _recent(self, last: float) -> bool:
        return last >= self._now() - self._patience.remember_s

    def _count(self, network: str, name: str | None, tries: int, tag: bytes | None) -> None:
        limits, now, key = self._patience, self._now(), _key(network, name)
        row = self._row(network, name)
        failures = min((self._faded(row["failures"], row["last"], now) if row else 0.0) + 1.0, limits.most(tries))
        pause_s = limits.pause_s(failures, tries)
        self._database.execute(
            "INSERT OR REPLACE INTO guesses (network, whole, name, failures, last, until, harmless, proof)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(*key, failures, now, now + pause_s if pause_s else 0.0, now + failures * limits.forget_one_s, tag),
        )

    def _faded(self, failures: float, last: float, now: float) -> float:
        return max(0.0, failures - max(0.0, now - last) / self._patience.forget_one_s)

    def _clean(self) -> None:
        """Now and then: forget what is old, and of more than may be kept what has been harmless for longest, or will be so first."""
        self._writes += 1
        if self._writes % _CLEAN_EVERY != 1:
            return
        now, limits = self._now(), self._patience
        self._database.execute("DELETE FROM guesses WHERE harmless < ?", now - limits.remember_s)
        self._database.execute("DELETE FROM proven WHERE at < ?", now - limits.remember_s)
        for table, order, keep in (("guesses", "harmless", "until <= ?"), ("proven", "at", "at <= ?")):
            rows = self._database.rows(f"SELECT count(*) AS n FROM {table}")  # noqa: S608 - words of this line
            self._database.execute(
                f"DELETE FROM {table} WHERE rowid IN"  # noqa: S608 - likewise
                f" (SELECT rowid FROM {table} WHERE {keep} ORDER BY {order} LIMIT ?)",
                *(now, max(0, rows[0]["n"] - limits.max_rows)),
            )

    def proved(self, network: str, name: str, *, known: bool) -> None:
        """The name begins anew; the address does not, or whoever has one secret could go on guessing others.

        Args:
            network: where.
            name: whose proof was right.
            known: pauses of the address are not for this name any more.
        """
        now = self._now()
        if self._row(network, name) is not None:
            self._database.execute(_FORGET, *_key(network, name))
        query = "SELECT 1 FROM proven WHERE network = ? AND name = ? AND at BETWEEN ? AND ?"
        if known and self._database.row(query, network, name, now - _EXACTNESS_S, now) is None:
            with self._database.transaction():
                self._database.execute("INSERT OR REPLACE INTO proven VALUES (?, ?, ?)", network, name, now)
                self._clean()

    def counts(self) -> list[Count]:
        """What is not forgotten yet."""
        now, found = self._now(), []
        for row in self._database.rows(
            "SELECT * FROM guesses WHERE harmless > ? ORDER BY network, whole DESC, name", now
        ):
            name = None if row["whole"] else str(row["name"])
            failures = math.ceil(self._faded(row["failures"], row["last"], now))
            found.append(Count(row["network"], name, failures, math.ceil(self._left_s(row["network"], name, now))))
        return found

    def forget(self, network: str | None = None, name: str | None = None) -> int:
        """Everything, what is counted at an address, or for a name at any; returns how many counts."""
        statement = "DELETE FROM guesses WHERE (? IS NULL OR network = ?) AND (? IS NULL OR (whole = 0 AND name = ?))"
        return self._database.execute(statement, network, network, name, name)

    def _tag(self, network: str, name: str, proof: bytes | None) -> bytes | None:
        if proof is None:
            return None
        return hmac.digest(self._key, f"{network}\0{name}\0".encode(errors="replace") + proof, "sha256")[:_TAG]

    def _row(self, network: str, name: str | None) -> sqlite3.Row | None:
        return self._database.row(_LOOK, *_key(network, name))

    def _now(self) -> float:
        return self._clock().timestamp()


def _key(network: str, name: str | None) -> tuple[str, int, str]:
    return (network, 1, "") if name is None else (network, 0, name)
