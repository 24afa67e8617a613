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


class ReplayWindow:
    """Remembers certificates as long as they are valid; safe for many threads, and for several processes with one file.

    Args:
        path: the file, so that a restart forgets nothing; None for memory.
        most: bound; where so many certificates are valid at a time, further ones are refused.
    """

    def __init__(self, path: Path | None = None, most: int = 100_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        if path is not None:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = sqlite3.connect(
            path or ":memory:", timeout=10, check_same_thread=False, isolation_level=None
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        # it has to survive the end of the process, and a power cut lasts longer than the certificates
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS seen (what TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID"
        )
        self._connection.execute("CREATE INDEX IF NOT EXISTS ends ON seen (until)")

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
                self._connection.execute("DELETE FROM seen WHERE until < ?", (now.timestamp(),))
                (count,) = self._connection.execute("SELECT count(*) FROM seen").fetchone()
                if count >= self._most:
                    return False
                statement = "INSERT OR IGNORE INTO seen VALUES (?, ?)"
                return self._connection.execute(statement, (what, until.timestamp())).rowcount == 1
            finally:
                self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
