"""Countermeasures against guessing (RFC 7030 section 6, RFC 5054 section 3.3): pauses that double, and a lock in the end.

Where a guess takes several messages, it counts as failed from its beginning, in the database, and is taken back when it
succeeds: neither many at once nor ending the process gives a guesser more tries. What is judged at once: see `guessing`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network

from device_sdk_simulators.database import Database

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS srp_failures
      (who TEXT PRIMARY KEY, failures INTEGER NOT NULL, last REAL NOT NULL, until REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS srp_failures_by_age ON srp_failures (last)",
)
_CLEAN_EVERY = 256


@dataclass(frozen=True)
class BackOff:
    """How patient the server is.

    Attributes:
        user_tries: failures in a row that a user name may have without a pause.
        address_tries: the same for a client's address (IPv6: its /64 network), which many devices may share.
        first_s: the first pause; each further failure doubles it.
        longest_s: the longest pause.
        lock_after: failures in a row after which a user name is locked until somebody unlocks it.
        forget_s: failures are forgotten after so long without another one, but for a locked user's.
        max_rows: names and addresses that are remembered (EST-16); locks and pauses in any case.
    """

    user_tries: int = 5
    address_tries: int = 20
    first_s: float = 1.0
    longest_s: float = 3600.0
    lock_after: int = 100
    forget_s: float = 86400.0
    max_rows: int = 100_000

    def pause_s(self, failures: int, tries: int) -> float:
        """What so many failures in a row cost."""
        beyond = failures - tries
        return 0.0 if beyond < 0 else min(self.first_s * 2.0 ** min(beyond, 64), self.longest_s)


class Guard:
    """Remembers failures by user name, whether there is such a user or not, and by address.

    Args:
        database: memory.
        clock: the time.
        limits: how patient to be.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], limits: BackOff) -> None:
        self._writes = 0
        self._database = database
        self._clock = clock
        self._limits = limits
        for statement in _SCHEMA:
            database.execute(statement)

    def begin(self, user: str, address: str) -> bool:
        """Whether this user may try from there now; an attempt that may counts as failed until `succeed`."""
        with self._database.transaction():
            if self._locked(user) or self.left_s(user, address):
                return False
            self.failed(user, address)
        return True

    def left_s(self, user: str, address: str) -> float:
        """How long this user has to wait there before the next try; 0.0 for not at all."""
        limits, now = self._limits, self._clock().timestamp()
        rows = self._database.rows("SELECT until FROM srp_failures WHERE who IN (?, ?)", *self._names(user, address))
        # a clock that was set back must not turn an hour into a year
        return max((row["until"] - now for row in rows if now < row["until"] <= now + limits.longest_s), default=0.0)

    def failed(self, user: str, address: str) -> None:
        """Count a wrong guess."""
        limits = self._limits
        with self._database.transaction() as connection:
            # not before: others that began at the same time must not be in the future
            now = self._clock().timestamp()
            tries = limits.user_tries, limits.address_tries
            for who, free in zip(self._names(user, address), tries, strict=True):
                row = connection.execute(
                    "SELECT failures FROM srp_failures WHERE who = ?"
                    " AND (last >= ? OR (who LIKE 'user:%' AND failures >= ?))",
                    (who, now - limits.forget_s, limits.lock_after),
                ).fetchone()
                count = 1 if row is None else int(row["failures"]) + 1
                pause_s = limits.pause_s(count, free)
                connection.execute(
                    "INSERT OR REPLACE INTO srp_failures VALUES (?, ?, ?, ?)",
                    (who, count, now, now + pause_s if pause_s else 0.0),
                )
            self._writes += 1
            if self._writes % _CLEAN_EVERY == 1:
                self._clean(connection, now)

    def _clean(self, connection: sqlite3.Connection, now: float) -> None:
        """Forget what is old, and of more than may be kept the oldest."""
        free = "last < ? AND until <= ? AND NOT (who LIKE 'user:%' AND failures >= ?)"
        limits = self._limits
        connection.execute(
            f"DELETE FROM srp_failures WHERE {free}",  # noqa: S608 - words of this function
            (now - limits.forget_s, now, limits.lock_after),
        )
        count = connection.execute("SELECT count(*) FROM srp_failures").fetchone()[0]
        connection.execute(
            "DELETE FROM srp_failures WHERE rowid IN"  # noqa: S608 - likewise
            f" (SELECT rowid FROM srp_failures WHERE {free} ORDER BY last LIMIT ?)",
            (now, now, limits.lock_after, max(0, count - limits.max_rows)),
        )

    def _names(self, user: str, address: str) -> tuple[str, str]:
        return f"user:{user}", f"address:{network_of(address)}"

    def _locked(self, user: str) -> bool:
        row = self._database.row("SELECT failures FROM srp_failures WHERE who = ?", f"user:{user}")
        return row is not None and row["failures"] >= self._limits.lock_after

    def succeed(self, user: str, address: str) -> None:
        """The attempt was none of a guesser: the user starts anew, and the address has one failure less."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM srp_failures WHERE who = ?", (f"user:{user}",))
            connection.execute(
                "UPDATE srp_failures SET failures = max(failures - 1, 0), until = min(until, last) WHERE who = ?",
                (f"address:{network_of(address)}",),
            )

    def unlock(self, user: str) -> bool:
        """Forget a user's failures; False if there were none."""
        return self._database.execute("DELETE FROM srp_failures WHERE who = ?", f"user:{user}") > 0

    def failures(self) -> dict[str, int]:
        """Failures in a row, by "user:NAME" and "address:NETWORK"."""
        query = "SELECT who, failures FROM srp_failures WHERE failures > 0 AND (who LIKE ? OR who LIKE ?) ORDER BY who"
        rows = self._database.rows(query, "user:%", "address:%")
        return {str(row["who"]): int(row["failures"]) for row in rows}


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network of an IPv6 one."""
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found) if found.version == 4 or mapped else str(ip_network((found, 64), strict=False))
