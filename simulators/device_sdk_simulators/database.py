"""What the server must not forget, in one SQLite file: users, certificates, waiting requests, CALE registrations.

Every change is one transaction that is on disk before the answer is sent, so the process can be killed at any moment.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_sdk_simulators.softhsm import SimulatorError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS digests (
  name TEXT NOT NULL, algorithm TEXT NOT NULL, ha1 TEXT NOT NULL, userhash TEXT NOT NULL, PRIMARY KEY (name, algorithm));
CREATE TABLE IF NOT EXISTS certificates (
  serial TEXT PRIMARY KEY, subject TEXT NOT NULL, spki_sha256 TEXT NOT NULL, mac_address TEXT, issued_to TEXT,
  issued_at TEXT NOT NULL, not_after TEXT NOT NULL, revoked_at TEXT, der BLOB NOT NULL{certificates});
CREATE TABLE IF NOT EXISTS requests (
  id INTEGER PRIMARY KEY, identity TEXT NOT NULL, label TEXT NOT NULL, operation TEXT NOT NULL, subject TEXT NOT NULL,
  spki_sha256 TEXT NOT NULL, state TEXT NOT NULL, created_at TEXT NOT NULL, csr BLOB NOT NULL{requests});
CREATE TABLE IF NOT EXISTS turned_away (
  id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL, last_at TEXT NOT NULL, identity TEXT NOT NULL,
  why TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS registrations (
  guid TEXT PRIMARY KEY, identity TEXT NOT NULL, created_at TEXT NOT NULL, revoked_at TEXT, csr BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS registrations_by_identity ON registrations (identity);
CREATE TABLE IF NOT EXISTS generations (
  ca TEXT NOT NULL, number INTEGER NOT NULL, stage TEXT NOT NULL, changed_at TEXT NOT NULL, PRIMARY KEY (ca, number));
CREATE TABLE IF NOT EXISTS answer_sizes (path TEXT NOT NULL, aead INTEGER NOT NULL, length INTEGER NOT NULL{answer_sizes});
CREATE TABLE IF NOT EXISTS answer_lengths (path TEXT NOT NULL, bare INTEGER NOT NULL, whole INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS one_time_passwords (digest TEXT PRIMARY KEY, spki_sha256 TEXT);
CREATE TABLE IF NOT EXISTS revocation_challenges (serial TEXT PRIMARY KEY, salt BLOB NOT NULL, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS cmc_revocations (serial TEXT PRIMARY KEY, reason INTEGER NOT NULL, asked_by TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS shared_secrets (identifier TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL);
"""


# databases of earlier versions have these tables without them
_LATER_COLUMNS = {
    "certificates": {
        "ca": "TEXT NOT NULL DEFAULT ''",
        "label": "TEXT NOT NULL DEFAULT ''",
        "holder": "TEXT",
        "lineage": "TEXT",
        "key_made_here": "INTEGER NOT NULL DEFAULT 0",
    },
    "answer_sizes": {"whole": "INTEGER NOT NULL DEFAULT 0"},
    "requests": {"serial": "TEXT", "content": "TEXT NOT NULL DEFAULT ''", "asked_at": "TEXT NOT NULL DEFAULT ''"},
}

# after the columns; the index of earlier versions left out what was approved
_INDEXES = """
DROP INDEX IF EXISTS open_requests;
CREATE UNIQUE INDEX IF NOT EXISTS open_contents
  ON requests (identity, label, operation, subject, spki_sha256, content) WHERE state IN ('waiting', 'approved', 'denied');
"""


class UnusableDatabaseError(SimulatorError):
    """The file is no database of this server, or cannot be written to."""


class Database:
    """The server's memory; safe for many threads and for several processes (the server and the approval commands).

    Args:
        path: the file; made if it is missing, with mode 0600 because it holds hashes of passwords and GUIDs.
    """

    def __init__(self, path: Path) -> None:
        self.path = self._path = path
        self._lock = threading.RLock()
        # SQLite would go by the umask; its -wal and -shm files get the permissions of the file itself
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._connection = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            # one wait for the disk; closing the connection undoes half of it
            self._connection.execute("BEGIN IMMEDIATE")
            self._make_tables()
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._connection.close()
            raise UnusableDatabaseError(f"{path}: {error}") from error

    def _make_tables(self) -> None:
        run = self._connection.execute
        later = {
            table: "".join(f", {one} {columns[one]}" for one in columns) for table, columns in _LATER_COLUMNS.items()
        }
        for statement in _SCHEMA.format_map(later).split(";"):
            run(statement)
        for table, columns in _LATER_COLUMNS.items():
            there = {row["name"] for row in run(f"PRAGMA table_info({table})")}
            for name in columns.keys() - there:
                run(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")
        for statement in _INDEXES.split(";"):
            run(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One atomic, durable change; everything is undone if the block raises. A block in another one is part of that."""
        with self._lock:
            if self._connection.in_transaction:
                # of this thread: others wait for the lock
                yield self._connection
                return
            with self._damage_named():
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    # SQLite has undone it already after some errors
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """UnusableDatabaseError for a damaged file; SQLite notices when it reads the spot."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            # its subclasses are about statements and locks
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise UnusableDatabaseError(f"{self._path}: {error}") from error

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a SELECT."""
        with self._lock, self._damage_named():
            return self._connection.execute(query, values).fetchall()

    def row(self, query: str, *values: object) -> sqlite3.Row | None:
        """The first row of a SELECT, or None."""
        found = self.rows(query, *values)
        return found[0] if found else None

    def execute(self, statement: str, *values: object) -> int:
        """One change; returns the number of rows it touched."""
        with self.transaction() as connection:
            return connection.execute(statement, values).rowcount

    def secret(self, name: str) -> bytes:
        """32 random bytes, the same at every start."""
        if self.row("SELECT value FROM secrets WHERE name = ?", name) is None:
            self.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", name, os.urandom(32))
        return bytes(self.rows("SELECT value FROM secrets WHERE name = ?", name)[0]["value"])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
