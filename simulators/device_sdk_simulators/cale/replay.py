"""A certificate is for one request: the second one that shows it is a replay (weakness 4 of the draft: no nonce, no binding).

The authorization server makes a certificate with a fresh serial number for every validation, and the edge device validates
every request (section 4.2 of the draft), so no honest request ever shows a serial number twice.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from datetime import datetime
from pathlib import Path

from cryptography import x509

from device_sdk_simulators.database import UnusableDatabaseError


class ReplayWindow:
    """Remembers certificates as long as they are valid; safe for many threads, and for several processes with one file.

    Args:
        path: the file, so that a restart forgets nothing; None for memory.
        most: bound; where so many certificates are valid at a time, further ones are refused.

    Raises:
        UnusableDatabaseError: the file is damaged, or none of ours.
    """

    def __init__(self, path: Path | None = None, most: int = 100_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        if path is not None:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = sqlite3.connect(
            path or ":memory:", timeout=10, check_same_thread=False, isolation_level=None
        )
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            # an empty one would take certificates for new that were shown a moment ago
            raise UnusableDatabaseError(
                f"{path}: {error}; what was shown is forgotten. Wait for as long as certificates are accepted (a minute"
                f" unless the rules say otherwise), remove the file with its -wal and -shm, and start again"
            ) from error

    def _prepare(self) -> None:
        self._connection.execute("PRAGMA journal_mode=WAL")
        # a power cut may take what was written last, and lasts longer than certificates do; it must not damage the file
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS seen (what TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID"
        )
        self._connection.execute("CREATE INDEX IF NOT EXISTS ends ON seen (until)")
        (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)

    def is_first(self, certificate: x509.Certificate, purpose: str, now: datetime, until: datetime) -> bool:
        """Whether a certificate is shown for this purpose for the first time; it counts as shown from now on.

        Args:
            certificate: one that was accepted.
            purpose: what it must not be shown for twice; "" for anything.
            now: the time.
            until: when it is not accepted any more anyway.
        """
        what = f"{certificate.serial_number:x} {purpose}"
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                first = self._insert(what, now.timestamp(), until.timestamp())
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite has undone it already after some errors
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            return first

    def _insert(self, what: str, now: float, until: float) -> bool:
        self._connection.execute("DELETE FROM seen WHERE until < ?", (now,))
        (count,) = self._connection.execute("SELECT count(*) FROM seen").fetchone()
        if count >= self._most:
            return False
        return self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (what, until)).rowcount == 1

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
