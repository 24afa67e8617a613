"""Countermeasures against guessing (RFC 7030 section 6, RFC 5054 section 3.3): pauses that double, and a lock in the end.

An attempt counts as failed from its beginning, in the database, and is taken back when it succeeds: neither many at once
nor ending the process gives a guesser more tries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address, ip_network

from device_sdk_simulators.database import Database

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS srp_failures"
    " (who TEXT PRIMARY KEY, failures INTEGER NOT NULL, last REAL NOT NULL, until REAL NOT NULL)"
)


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
    """

    user_tries: int = 5
    address_tries: int = 20
    first_s: float = 1.0
    longest_s: float = 3600.0
    lock_after: int = 100
    forget_s: float = 86400.0

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
        kind: of what is guessed: failures of one kind are none of another.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime], limits: BackOff, kind: str = "") -> None:
        self._kind = kind
        self._database = database
        self._clock = clock
        self._limits = limits
        database.execute(_SCHEMA)

    def begin(self, user: str, address: str) -> bool:
        """Whether this user may try from there now; an attempt that may counts as failed until `succeed`."""
        limits = self._limits
        by_user, by_address = f"{self._kind}user:{user}", f"{self._kind}address:{network_of(address)}"
        with self._database.transaction() as connection:
            # not before: others that began at the same time must not be in the future
            now = self._clock().timestamp()
            connection.execute(
                "DELETE FROM srp_failures WHERE last < ? AND NOT (who LIKE ? AND failures >= ?) AND who LIKE ?",
                (now - limits.forget_s, f"{self._kind}user:%", limits.lock_after, f"{self._kind}%"),
            )
            known = {who: _row(connection, who) for who in (by_user, by_address)}
            failures = {who: int(row["failures"]) if row else 0 for who, row in known.items()}
            if failures[by_user] >= limits.lock_after:
                return False
            # a clock that was set back must not turn an hour into a year
            if any(row is not None and now < row["until"] <= now + limits.longest_s for row in known.values()):
                return False
            for who, tries in ((by_user, limits.user_tries), (by_address, limits.address_tries)):
                count = failures[who] + 1
                pause_s = limits.pause_s(count, tries)
                connection.execute(
                    "INSERT OR REPLACE INTO srp_failures VALUES (?, ?, ?, ?)",
                    (who, count, now, now + pause_s if pause_s else 0.0),
                )
        return True

    def succeed(self, user: str, address: str) -> None:
        """The attempt was none of a guesser: the user starts anew, and the address has one failure less."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM srp_failures WHERE who = ?", (f"{self._kind}user:{user}",))
            connection.execute(
                "UPDATE srp_failures SET failures = max(failures - 1, 0), until = min(until, last) WHERE who = ?",
                (f"{self._kind}address:{network_of(address)}",),
            )

    def unlock(self, user: str) -> bool:
        """Forget a user's failures; False if there were none."""
        return self._database.execute("DELETE FROM srp_failures WHERE who = ?", f"{self._kind}user:{user}") > 0

    def failures(self) -> dict[str, int]:
        """Failures in a row, by "user:NAME" and "address:NETWORK"."""
        query = "SELECT who, failures FROM srp_failures WHERE failures > 0 AND (who LIKE ? OR who LIKE ?) ORDER BY who"
        rows = self._database.rows(query, f"{self._kind}user:%", f"{self._kind}address:%")
        return {str(row["who"]).removeprefix(self._kind): int(row["failures"]) for row in rows}


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 network of an IPv6 one."""
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found) if found.version == 4 or mapped else str(ip_network((found, 64), strict=False))


def _row(connection: sqlite3.Connection, who: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = connection.execute("SELECT * FROM srp_failures WHERE who = ?", (who,)).fetchone()
    return found
