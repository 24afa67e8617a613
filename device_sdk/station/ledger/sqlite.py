"""A ledger in one SQLite file: durable, of this user alone, whole from the moment it has its name."""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, exc
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from device_sdk.errors import LedgerError, StateError
from device_sdk.state.files import refuse_strangers, sync_directory
from device_sdk.station.ledger.patience import Patience

_LOOK_MS = 200
APPLICATION_ID = 0x64736C67  # "dslg", in the file's header
now = time.time
_MAKE = "device-sdk provision run makes one; check the name"


def engine(path: Path, wait_s: float, patience: Patience, *, create: bool, read_only: bool) -> Engine:
    """Connections to a file that is there, or is made now.

    Raises:
        LedgerError: it is not there and is not to be made, is no ledger, or others may write to it.
    """
    try:
        _check(path, create=create and not read_only)
        return _engine(path, wait_s, patience, read_only=read_only)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise LedgerError(
            f"{path}: the ledger cannot be opened: {words}", hint="check the name and its permissions"
        ) from error


def _engine(path: Path, wait_s: float, patience: Patience, *, read_only: bool) -> Engine:
    place = f"file:{quote(str(path.absolute()))}?{_mode(path) if read_only else 'mode=rw'}"

    def connect() -> sqlite3.Connection:
        # no transactions of the driver's making: _begin makes them
        return sqlite3.connect(place, uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False)

    result = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_timeout=wait_s, hide_parameters=True)

    @event.listens_for(result, "connect")
    def _settings(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA synchronous=FULL")  # in WAL mode: what was committed survives a power cut
        cursor.execute("PRAGMA trusted_schema=OFF")
        cursor.close()

    @event.listens_for(result, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("ledger_write", False):
            _begin_to_write(connection, wait_s, patience)
        else:
            connection.exec_driver_sql("BEGIN")

    return result


def _begin_to_write(connection: Connection, wait_s: float, patience: Patience) -> None:
    """SQLite's own wait cannot be ended from outside, so that it is done in small pieces."""
    connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOOK_MS}")
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            break
        except exc.OperationalError as error:
            if patience.left_s <= 0 or getattr(error.orig, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
    connection.exec_driver_sql(f"PRAGMA busy_timeout={int(wait_s * 1000)}")


def _mode(path: Path) -> str:
    """How to look at a file. Even that needs files beside it, unless nobody can write there: then it is looked at as it is.

    Raises:
        LedgerError: nobody can write there, and the file is not all of it.
    """
    directory = path.absolute().parent
    if not os.statvfs(directory).f_flag & os.ST_RDONLY and directory.stat().st_mode & 0o222:
        return "mode=ro"
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise LedgerError(
            f"{path}: cannot be read where nothing can be written: {log.name} holds entries, too",
            hint="copy both into a directory that you may write to",
        )
    return "mode=ro&immutable=1"


def _check(path: Path, *, create: bool) -> None:
    _check_directory(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        if not create:
            raise LedgerError(f"{path}: there is no such ledger", hint=_MAKE) from None
        return
    if not stat.S_ISREG(status.st_mode):
        raise LedgerError(f"{path}: is not a file", hint="name another place for the ledger")
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise LedgerError(f"{path}: others may write to this ledger", hint=f"chmod go-w {path}, then verify it")
    with path.open("rb") as file:
        start = file.read(72)
    if start[:16] != b"SQLite format 3\0" or int.from_bytes(start[68:72], "big") != APPLICATION_ID:
        raise LedgerError(f"{path}: is not a ledger", hint="name another file; it was not touched")


def _check_directory(path: Path) -> None:
    try:
        refuse_strangers(path.parent)
    except StateError as error:
        hint = "name a directory that only its owner may write to: who else can, can put another ledger there"
        raise LedgerError(f"the ledger's directory: {error.message}", hint=hint) from error


def _check_companions(path: Path) -> None:
    """SQLite would write the last entries of a ledger that was moved or removed over one that is made in its place."""
    left = [one for suffix in ("-wal", "-shm", "-journal") if (one := Path(f"{path}{suffix}")).exists()]
    if left and not path.exists():  # one that is made at this moment by another station comes before its own
        raise LedgerError(
            f"{left[0]}: this belongs to a ledger that was moved or removed, and has its last entries",
            hint="move it along with that ledger, under its name, before another one is made here",
        )


def make(path: Path, wait_s: float, fill: Callable[[Engine], None]) -> None:
    """Make the file under another name, and give it its own when it is complete; one that is there is left alone.

    Raises:
        LedgerError: it cannot be made.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp") if path.name else path
    try:
        if path.exists():
            return
        _check_directory(path)
        _check_companions(path)
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(temporary, isolation_level=None)) as plain:
            plain.execute(f"PRAGMA application_id={APPLICATION_ID}")
            plain.execute("PRAGMA journal_mode=WAL").fetchall()
        made = _engine(temporary, wait_s, Patience(wait_s), read_only=False)
        try:
            fill(made)
        finally:
            made.dispose()  # the last connection writes everything into the file itself
        with suppress(FileExistsError):
            os.link(temporary, path)
        sync_directory(path.parent)
    except (OSError, ValueError, exc.SQLAlchemyError, sqlite3.Error) as error:
        words = getattr(error, "strerror", None) or getattr(error, "orig", None) or error
        raise LedgerError(
            f"{path}: the ledger cannot be made: {words}", hint="check its directory and the room there"
        ) from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError, ValueError):
                Path(f"{temporary}{suffix}").unlink(missing_ok=True)
