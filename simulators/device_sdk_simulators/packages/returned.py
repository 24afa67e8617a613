"""What devices send back, whatever by: the same only once, few of each device about one thing, and nothing long.

Whoever has credentials can send as many messages as he likes; none of them is a reason to fill the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from device_sdk_simulators.http.messages import HttpError

MOST = 16
"""Returns of one device about one item that are kept; the latest ones."""
MAX_REPORT_BYTES = 16 * 1024
"""Of a receipt or an error with the certificates of its signer."""


@dataclass(frozen=True)
class Return:
    """What tells a return from others.

    Attributes:
        address: of the device.
        item: what it is about; None for nothing that is known.
        digest: of what was signed.
    """

    address: str
    item: str | None
    digest: bytes


def require_short(body: bytes) -> None:
    """HttpError 413 for a report that is too long; before it is read, which takes longer than the network."""
    if len(body) > MAX_REPORT_BYTES:
        raise HttpError(413, f"receipts and errors have at most {MAX_REPORT_BYTES} bytes")


def was_returned(connection: sqlite3.Connection, table: str, one: Return) -> bool:
    """Whether a table has it."""
    query = f"SELECT id FROM {table} WHERE address = ? AND item IS ? AND digest = ?"  # noqa: S608 - words of the callers
    return connection.execute(query, (one.address, one.item, one.digest)).fetchone() is not None


def make_room(connection: sqlite3.Connection, table: str, one: Return) -> None:
    """Room for a return, in the transaction that adds it: the same one goes, and the oldest beyond the bound.

    Args:
        connection: in a transaction.
        table: has the columns id, address, item and digest.
        one: what comes.
    """
    same = f"DELETE FROM {table} WHERE address = ? AND item IS ? AND digest = ?"  # noqa: S608 - likewise
    connection.execute(same, (one.address, one.item, one.digest))
    connection.execute(
        f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE address = ? AND item IS ?"  # noqa: S608 - likewise
        " ORDER BY id DESC LIMIT -1 OFFSET ?)",
        (one.address, one.item, MOST - 1),
    )


def still_waiting(silent: Mapping[str, datetime], errors: Iterable[datetime]) -> set[str]:
    """Of items that nothing was said about, those that no error without a name can be about.

    RFC 4108 section 4.1.3 and RFC 7191 section 5 leave the name out where the device could not read it. Such an error may be
    about any item that was sent before it, and about one only: the earliest that no other one was about.

    Args:
        silent: when each was sent last.
        errors: when each error came.
    """
    left = dict(sorted(silent.items(), key=lambda one: one[1]))
    for came in sorted(errors):
        item = next((item for item, sent in left.items() if sent <= came), None)
        if item is not None:
            del left[item]
    return set(left)


def add_digests(connection: sqlite3.Connection, table: str) -> None:
    """The column of a table that databases of earlier versions have without it."""
    add_column(connection, table, "digest", "BLOB NOT NULL DEFAULT x''")


def add_column(connection: sqlite3.Connection, table: str, name: str, kind: str) -> None:
    """The same for any column, of any type."""
    if name not in {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}:
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
