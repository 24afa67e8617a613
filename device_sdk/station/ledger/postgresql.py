"""A ledger in a PostgreSQL database that several stations share."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Connection, Engine, create_engine, exc, text

from device_sdk.errors import LedgerError, MissingDependencyError
from device_sdk.station.ledger.patience import HURRIED_S, Patience

_IDLE_S = 120  # a station that hangs with the ledger in its hands loses it
_MAKING = 0x6465765F6C6467  # names the lock under which tables are made


def engine(url: str, wait_s: float, patience: Patience, *, read_only: bool) -> Engine:
    """Connections to the database; the first one is made when it is needed.

    Raises:
        MissingDependencyError: the driver is not installed.
    """
    options = {
        "lock_timeout": f"{int(wait_s * 1000)}",
        "idle_in_transaction_session_timeout": f"{_IDLE_S * 1000}",
        "synchronous_commit": "on",
        "default_transaction_read_only": "on" if read_only else "off",
    }
    arguments = _gone(wait_s) | _arguments(url)
    arguments["options"] = " ".join(f"-c {name}={value}" for name, value in options.items())
    hurried = {"connect_timeout": f"{HURRIED_S:g}"}
    try:
        from device_sdk.station.ledger.answering import Answering

        return create_engine(
            "postgresql+psycopg://",
            creator=lambda: Answering.connect(**arguments | (hurried if patience.hurried else {})),  # type: ignore[arg-type]  # parameters of libpq
            pool_pre_ping=True,
            pool_timeout=wait_s,
            hide_parameters=True,
        )
    except ImportError as error:
        raise MissingDependencyError(
            f"a ledger in PostgreSQL needs a driver that is not installed ({error})",
            hint="pip install 'device-sdk[postgresql]'",
            extra="postgresql",
        ) from error


def _gone(wait_s: float) -> dict[str, str]:
    """When TCP gives up a server whose machine or network is gone; unless told otherwise it takes hours."""
    return {
        "keepalives_idle": "20",
        "keepalives_interval": "10",
        "keepalives_count": "4",
        "tcp_user_timeout": f"{int(wait_s * 1000)}",
    }


def _arguments(url: str) -> dict[str, str]:
    """What libpq is told; user, password and the rest come from its own files and variables if they are not here."""
    parts = urlsplit(url)
    found = {"host": parts.hostname, "port": parts.port and str(parts.port), "user": parts.username}
    found["dbname"] = parts.path.removeprefix("/") or None
    known = {name: value for name, value in found.items() if value}
    return {"connect_timeout": "10", "application_name": "device-sdk"} | known | dict(parse_qsl(parts.query))


def now(connection: Connection) -> float:
    """POSIX seconds of the server's clock, as it goes on within a transaction."""
    return float(connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())


def alone(connection: Connection) -> None:
    """Until the end of the transaction nobody else makes tables of a ledger here."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _MAKING})


def has_tables(connection: Connection) -> bool:
    """Whether a ledger is there already.

    Raises:
        LedgerError: the database cannot be asked.
    """
    try:
        return connection.execute(text("SELECT to_regclass('ledger_about')")).scalar_one() is not None
    except exc.SQLAlchemyError as error:
        raise LedgerError(f"the database cannot be asked: {error.__class__.__name__}") from error
