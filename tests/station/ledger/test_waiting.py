"""A database that does not come: nobody waits for ever, all wait together, and whoever is in a hurry does not wait."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import Ledger
from tests.station.ledger.postgres import PostgresServer

pytestmark = pytest.mark.slow


class _Writer(threading.Thread):
    """Appends an entry, and keeps what comes of it."""

    def __init__(self, do: Callable[[], object]) -> None:
        super().__init__()
        self.do, self.error = do, None
        self.start()

    def run(self) -> None:
        try:
            self.do()
        except LedgerError as error:
            self.error = error


def test_all_writers_wait_together_for_a_lock(tmp_path: Path) -> None:
    """Eight, two seconds each, are not sixteen; and who comes later does not begin from the beginning."""
    with (
        Ledger.open(tmp_path / "ledger.sqlite", wait_s=2) as ledger,
        closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        writers = [_Writer(lambda: ledger.append("note")) for _ in range(8)]
        for writer in writers:
            writer.join(60)
            assert "another process keeps the ledger" in str(writer.error)
        assert time.monotonic() - began < 15
        other.execute("ROLLBACK")
        ledger.append("note")
        assert (ledger.waited_s, ledger.verify().head.number) == (0, 1)


def test_who_is_in_a_hurry_does_not_wait(tmp_path: Path) -> None:
    """Nor do those who wait already; a database that works is written to."""
    with (
        Ledger.open(tmp_path / "ledger.sqlite", wait_s=6000) as ledger,
        closing(sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        writers = [_Writer(lambda: ledger.append("note")) for _ in range(2)]
        while not ledger.waited_s:
            time.sleep(0.01)
        ledger.hurry()
        for writer in writers:
            writer.join(100)
            assert writer.error is not None
        other.execute("ROLLBACK")
        assert ledger.append("note").number == 1


def _stopped(ledger: Ledger, do: Callable[[], object]) -> None:
    """Do something in a transaction whose server process has been stopped, as by a machine that swaps or a cable that is out."""
    with ledger._database.write() as connection:
        process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(process, signal.SIGSTOP)
        try:
            connection.execute(text("SELECT 1"))
        finally:
            os.kill(process, signal.SIGCONT)


@contextmanager
def _impatient(ledger: Ledger, wait_s: float) -> Iterator[None]:
    """In this block alone: before it and after it a busy machine has its time."""
    database = ledger._database
    before = database.patience._wait_s, database._grace_s
    database.patience._wait_s, database._grace_s = wait_s, 0.3
    try:
        yield
    finally:
        database.patience._wait_s, database._grace_s = before


@pytest.mark.parametrize("hurried", [False, True])
def test_a_server_that_does_not_answer_is_not_waited_for(postgres: PostgresServer, hurried: bool) -> None:
    with Ledger.open(postgres.place(), wait_s=6000) as ledger:
        if hurried:
            ledger.hurry()
        with _impatient(ledger, 6000 if hurried else 0.3), pytest.raises(LedgerError, match="did not come in time"):
            _stopped(ledger, ledger.head)
        assert ledger.append("note").number == 1, "the next one has another connection"
        ledger.verify()


def test_reading_is_not_waited_for_either(postgres: PostgresServer) -> None:
    with Ledger.open(postgres.place(), wait_s=6000) as ledger:
        with ledger._database.read() as connection:
            process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(process, signal.SIGSTOP)
        try:
            with _impatient(ledger, 0.3):
                assert ledger.head().number == 0, "the connection of the pool is cut, and another one is made"
        except LedgerError as error:
            assert "did not come in time" in error.message  # noqa: PT017  # either will do
        finally:
            os.kill(process, signal.SIGCONT)
        assert ledger.head().number == 0


def test_who_reads_for_long_waits_for_no_single_answer_that_long(postgres: PostgresServer) -> None:
    """The page, reports, verify and copy take their time; nobody tells them that a server hangs."""
    with Ledger.open(postgres.place(), wait_s=0.4) as ledger:
        with pytest.raises(LedgerError, match="no answer came in 2 s"):
            _stopped_while_reading(ledger)
        assert ledger.verify().head.number == 0


def _stopped_while_reading(ledger: Ledger) -> None:
    with ledger._database.read(long=True) as connection:
        process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        time.sleep(2.5)  # what is done with answers is the reader's own time
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
        os.kill(process, signal.SIGSTOP)
        try:
            connection.execute(text("SELECT 1"))
        finally:
            os.kill(process, signal.SIGCONT)


def test_tcp_gives_up_a_server_that_is_gone(postgres: PostgresServer) -> None:
    """In the time that is waited for others, unless its URL has another one."""
    place = postgres.place()
    for more, limit in (("", "7000"), ("&tcp_user_timeout=5000&keepalives_idle=3", "5000")):
        with Ledger.open(place + more, wait_s=7) as ledger, ledger._database.read() as connection:
            told = connection.connection.driver_connection.info.get_parameters()
        assert (told["tcp_user_timeout"], told["keepalives_idle"]) == (limit, "3" if more else "20")


def test_who_is_in_a_hurry_gives_up_connecting_soon(postgres: PostgresServer) -> None:
    """Two connections: one from before, and one that is made when nobody has time."""
    with Ledger.open(postgres.place()) as ledger, ledger._database.read() as first:
        ledger.hurry()
        with ledger._database.read() as second:
            told = [
                one.connection.driver_connection.info.get_parameters()["connect_timeout"] for one in (first, second)
            ]
    assert told == ["10", "3"]
