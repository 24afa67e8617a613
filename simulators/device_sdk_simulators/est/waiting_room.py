"""How many requests may wait for a person, and for how long (EST-16): within the transactions of the queue."""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import Policy

# a client may ask every second; that is not written down each time
_EXACTNESS = timedelta(hours=1)


def asked(connection: sqlite3.Connection, number: int, now: datetime) -> None:
    """Somebody still waits for the request of that number."""
    before = (now - _EXACTNESS).isoformat()
    statement = "UPDATE requests SET asked_at = ? WHERE id = ? AND max(asked_at, created_at) < ?"
    connection.execute(statement, (now.isoformat(), number, before))


def why_full(connection: sqlite3.Connection, identity: str, policy: Policy, now: datetime) -> HttpError | None:
    """429 or 503 for one more request of a client, or None if there is room; those that wait are not touched."""
    counted = "SELECT count(*) AS every, coalesce(sum(identity = ?), 0) AS own FROM requests"
    counted += " WHERE state = 'waiting' AND max(asked_at, created_at) >= ?"
    row = connection.execute(counted, (identity, _oldest(policy, now))).fetchone()
    later = [("Retry-After", str(policy.retry_after_s))]
    if row["own"] >= policy.max_waiting_each:
        return HttpError(429, f"{row['own']} requests of yours wait for approval", later)
    if row["every"] >= policy.max_waiting:
        return HttpError(503, f"{row['every']} requests wait for approval", later)
    return None


def forget(connection: sqlite3.Connection, policy: Policy, now: datetime) -> None:
    """End what nobody asks about any more.

    After a new request was written down: the last row stays, so that SQLite gives no number twice, and a person who looked
    at the list decides on what stood there.
    """
    statement = "DELETE FROM requests WHERE state IN ('waiting', 'denied') AND max(asked_at, created_at) < ?"
    statement += " AND id < (SELECT max(id) FROM requests)"
    connection.execute(statement, (_oldest(policy, now),))


def note_turned_away(connection: sqlite3.Connection, identity: str, why: str, now: datetime) -> None:
    """For the list: that somebody was, how often, and who was the last."""
    statement = "INSERT INTO turned_away VALUES (1, 1, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
    statement += " count = count + 1, last_at = excluded.last_at, identity = excluded.identity, why = excluded.why"
    connection.execute(statement, (now.isoformat(), identity, why))


def _oldest(policy: Policy, now: datetime) -> str:
    return (now - policy.waiting_ends).isoformat()
