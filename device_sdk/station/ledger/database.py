"""The database a ledger is in: SQLite by path, PostgreSQL by URL. What it says goes out as LedgerError."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, exc

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import postgresql, sqlite
from device_sdk.station.ledger.hanging import Hanging, HangingError
from device_sdk.station.ledger.patience import HURRIED_S, Patience
from device_sdk.station.ledger.place import is_url, shown

_FULL = ("is full", "disk i/o error", "no space left", "could not extend file", "file too large")
_BUSY = ("database is locked", "lock timeout", "canceling statement due to")
_ANSWER = 5  # times the wait for others: there may be much to look through before it begins
_GRACE_S = 5.0  # the server itself says first that a lock was not to be had


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
        self.patience = Patience(wait_s)
        self._grace_s = min(_GRACE_S, wait_s)
        self._hanging: Hanging | None = None
        if is_url(place):
            self.engine = postgresql.engine(place, wait_s, self.patience, read_only=read_only)
            self._hanging = Hanging(self.engine, _ANSWER * wait_s)
        else:
            self.engine = sqlite.engine(Path(place), wait_s, self.patience, create=create, read_only=read_only)

    @property
    def dialect(self) -> str:
        """Either "sqlite" or "postgresql"."""
        return self.engine.dialect.name

    @contextmanager
    def read(self, *, long: bool = False) -> Iterator[Connection]:
        """A transaction that sees one state of the ledger; raises LedgerError.

        Args:
            long: it takes as long as whoever reads, but no single answer does.
        """
        began = time.monotonic()
        with (
            self._mapped("read"),
            self._watched(None if long else lambda: self.patience.left_of(began)),
            self.engine.connect() as connection,
        ):
            self._snapshot(connection)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self, *, long: bool = False) -> Iterator[Connection]:
        """A transaction that alone may append; all of it happens, or nothing.

        One thread at a time: the database makes the writers queue in any case, and is less fair. Where it does not come, all
        of them have waited, and it fails all of them.

        Args:
            long: it is no short one, but no single answer may take long.

        Raises:
            LedgerError: nothing was written; where the connection broke at the end, that is not known, and the message says so.
        """
        with self._mapped("written"), self.patience.turn():
            try:
                least = time.monotonic() + min(HURRIED_S, self._grace_s)
                with (
                    self._watched(None if long else lambda: max(self.patience.left_s, least - time.monotonic())),
                    self.engine.connect() as connection,
                ):
                    connection.execution_options(ledger_write=True)
                    with connection.begin():
                        yield connection
            except (exc.SQLAlchemyError, OSError) as error:
                self.patience.failed(error)
                raise
            except BaseException:
                self.patience.served()
                raise
            self.patience.served()

    @contextmanager
    def _watched(self, left_s: Callable[[], float] | None) -> Iterator[None]:
        """Raises HangingError where a server does not answer in that time."""
        if self._hanging is None:
            yield
            return
        with self._hanging.watched(lambda: math.inf if left_s is None else left_s() + self._grace_s) as asked:
            try:
                yield
            except exc.SQLAlchemyError as error:
                if not asked.cut:
                    raise
                forget_connection(getattr(error, "orig", None))
                raise HangingError from error

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
        if self._hanging is not None:
            self._hanging.close()

    @contextmanager
    def _mapped(self, verb: str) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            cause = error.__cause__
            if isinstance(cause, exc.SQLAlchemyError) and not isinstance(error, HangingError):
                raise failure(self.name, verb, cause) from error
            raise LedgerError(
                f"{self.name}: the ledger cannot be {verb}: it did not come in time",
                hint="does the database answer, or does another process keep it for itself? what was being written may be there or not",
            ) from error
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
    elif "unable to open database file" in low:
        hint = "may this user write to its directory? Otherwise copy the ledger, with what stands beside it, to where you may"
    elif "append-only" in low:
        hint = "somebody wrote to it beside the stations: `provision ledger verify` says what is wrong with it"
    elif getattr(error, "connection_invalidated", False):
        hint = "the connection broke: look whether the database runs; what was being written may be there or not"
    else:
        hint = "look at the database; what was written before is unchanged"
    return LedgerError(f"{name}: the ledger cannot be {verb}: {words}", hint=hint)
