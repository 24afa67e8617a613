"""The database a ledger is in: SQLite by path, PostgreSQL by URL. What it says goes out as LedgerError."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, exc

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import postgresql, sqlite
from device_sdk.station.ledger.place import is_url, shown

_FULL = ("is full", "disk i/o error", "no space left", "could not extend file", "file too large")
_BUSY = ("database is locked", "lock timeout", "canceling statement due to")


class Database:
    """Transactions on the database of a ledger. Threads may share it.

    Args:
        place: path of an SQLite file, or URL of a PostgreSQL database.
        create: make the SQLite file if it is not there.
        read_only: nothing can be written by it.
        wait_s: how long to wait for others who write.
        clock: gives POSIX seconds; None for the database's own clock (PostgreSQL) or this machine's (SQLite).

    Raises:
        ConfigurationError: the place is no such thing, or has a password in it.
        MissingDependencyError: the driver is not installed.
        LedgerError: it cannot be opened.
    """

    def __init__(
        self, place: str, *, create: bool, read_only: bool, wait_s: float, clock: Callable[[], float] | None
    ) -> None:
        self.name = shown(place)
        self._clock = clock
        self._turn = threading.Lock()
        if is_url(place):
            self.engine = postgresql.engine(place, wait_s, read_only=read_only)
        else:
            self.engine = sqlite.engine(Path(place), wait_s, create=create, read_only=read_only)

    @property
    def dialect(self) -> str:
        """Either "sqlite" or "postgresql"."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger; raises LedgerError."""
        with self._mapped("read"), self.engine.connect() as connection:
            self._snapshot(connection)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that alone may append; all of it happens, or nothing.

        One thread at a time: the database makes the writers queue in any case, and is less fair.

        Raises:
            LedgerError: nothing was written; where the connection broke at the end, that is not known, and the message says so.
        """
        with self._turn, self._mapped("written"), self.engine.connect() as connection:
            connection.execution_options(ledger_write=True)
            with connection.begin():
                yield connection

    def _snapshot(self, connection: Connection) -> None:
        if self.dialect == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ")

    def now(self, connection: Connection) -> float:
        """POSIX seconds. Stations that share a ledger go by its clock, not by theirs."""
        if self._clock is not None:
            return self._clock()
        return postgresql.now(connection) if self.dialect == "postgresql" else sqlite.now()

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def _mapped(self, verb: str) -> Iterator[None]:
        try:
            yield
        except (exc.SQLAlchemyError, OSError) as error:
            forget_connection(getattr(error, "orig", None))
            raise failure(self.name, verb, error) from error


def forget_connection(error: BaseException | None) -> None:
    """Take from an error of psycopg what it knows of its connection: the password is part of that, and some log all they find."""
    if getattr(error, "pgconn", None) is not None:
        setattr(error, "_pgconn", None)  # noqa: B010  # `pgconn` itself cannot be set


def failure(name: str, verb: str, error: Exception) -> LedgerError:
    """What the database said, for people; never with a password."""
    words = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
    low = words.lower()
    if any(one in low for one in _FULL):
        hint = "make room on the disk of the ledger; the run can be resumed then"
    elif any(one in low for one in _BUSY):
        hint = "another process keeps the ledger for itself: end it, then try again"
    elif "append-only" in low:
        hint = "entries are never changed; what is wrong is put right by a further entry"
    elif getattr(error, "connection_invalidated", False):
        hint = "the connection broke: look whether the database runs; what was being written may be there or not"
    else:
        hint = "look at the database; what was written before is unchanged"
    return LedgerError(f"{name}: the ledger cannot be {verb}: {words}", hint=hint)
