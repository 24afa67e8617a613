"""What devices send back does not fill the disk of the server: the same once, few about one thing, nothing long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.packages.firmware.shelf import NO_ITEM, FirmwareShelf
from device_sdk_simulators.packages.key_returns import KeyReturn, KeyReturns, read_return
from device_sdk_simulators.packages.returned import MAX_REPORT_BYTES, MOST, Return, still_waiting
from device_sdk_simulators.packages.tamp.book import Answer, Sent, TampBook

from tests.tamp.making import authority

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path):
    found = Database(tmp_path / "server.sqlite")
    yield found
    found.close()


def count(database: Database, table: str) -> int:
    return len(database.rows(f"SELECT id FROM {table}"))  # noqa: S608 - words of this file


def digests() -> list[bytes]:
    return [number.to_bytes(2, "big") for number in range(MOST * 2)]


def test_fr_02_firmware_reports(database: Database) -> None:
    """The same again counts as the latest: the list asks for nothing that came after the last fetch."""
    shelf = FirmwareShelf(database)
    for hours in range(3):
        shelf.note_report(Return("a", "one", b"same"), "1.2 00", 0, b"content", NOW + timedelta(hours=hours))
    assert count(database, "firmware_reports") == 1
    assert shelf.overview()["one", "a"]["reported_at"] == (NOW + timedelta(hours=2)).isoformat()
    for digest in digests():
        shelf.note_report(Return("a", "one", digest), "1.2 00", 28, b"content", NOW)
    assert (count(database, "firmware_reports"), shelf.overview()["one", "a"]["report"]) == (MOST, "refused (28)")
    shelf.note_report(Return("b", "one", b"same"), "1.2 00", 0, b"content", NOW)
    shelf.note_report(Return("a", "two", b"same"), "1.2 00", 0, b"content", NOW)
    assert count(database, "firmware_reports") == MOST + 2


def test_kr_04_returns_for_keys(database: Database) -> None:
    """Errors about no package, too."""
    returns, client = KeyReturns(database), Client("dev-1")
    for _ in range(3):
        returns.note(client, KeyReturn("error", None, 71, b"same"), NOW)
    assert count(database, "key_returns") == 1
    for digest in digests():
        returns.note(client, KeyReturn("error", None, 71, digest), NOW)
    assert count(database, "key_returns") == MOST


def test_tr_04_answers_about_anchors(database: Database) -> None:
    book = TampBook(database)
    sent = Sent("one", "a", "1.2.3", b"reference", "apex", 1, 1, "a query")
    for digest in (b"same", b"same", *digests()):
        book.note_answer(sent, "a", Answer("error", (1,), None, digest, b"content"), NOW)
    assert count(database, "tamp_returns") == MOST


def test_what_is_long_is_not_read(database: Database, enrolled_client: Client) -> None:
    with pytest.raises(HttpError) as caught:
        read_return(bytes(MAX_REPORT_BYTES + 1), enrolled_client, [])
    assert caught.value.status == 413


@pytest.fixture(scope="module")
def enrolled_client() -> Client:
    certificate: x509.Certificate = authority("Device").certificate
    return Client("dev-1", certificate=certificate)


def test_a_database_of_an_earlier_version(database: Database) -> None:
    """Its tables have no digests."""
    database.execute(
        "CREATE TABLE firmware_reports (id INTEGER PRIMARY KEY, address TEXT NOT NULL, item TEXT NOT NULL,"
        " hardware TEXT NOT NULL, code INTEGER NOT NULL, content BLOB NOT NULL, at TEXT NOT NULL)"
    )
    database.execute("INSERT INTO firmware_reports VALUES (1, 'a', 'one', '1.2 00', 0, x'00', '2026')")
    shelf = FirmwareShelf(database)
    shelf.note_report(Return("a", "one", b"digest"), "1.2 00", 28, b"content", NOW)
    assert (count(database, "firmware_reports"), FirmwareShelf(database).hardware_of("a")) == (2, "1.2 00")


def hours(number: int) -> datetime:
    return NOW + timedelta(hours=number)


def test_an_error_without_a_name_is_about_one_package_that_was_sent_before_it() -> None:
    silent = {"one": hours(1), "two": hours(2), "three": hours(5)}
    assert still_waiting(silent, []) == set(silent)
    assert still_waiting(silent, [hours(0)]) == set(silent)
    assert still_waiting(silent, [hours(3)]) == {"two", "three"}
    assert still_waiting(silent, [hours(4), hours(3), hours(3)]) == {"three"}
    assert still_waiting(silent, [hours(6)] * 4) == set()


def test_p_09_what_was_reported_about_is_not_asked_for_again(database: Database) -> None:
    shelf = FirmwareShelf(database)
    fetched = {"one": hours(0), "two": hours(0), "three": hours(2)}
    shelf.note_report(Return("a", "one", b"refused"), "1.2 00", 28, b"", hours(-1))
    assert shelf.waiting("a", fetched) == {"two", "three"}
    shelf.note_report(Return("a", NO_ITEM, b"unknown"), "1.2 00", 99, b"", hours(1))
    assert shelf.waiting("a", fetched) == {"three"}
    assert shelf.waiting("b", fetched) == set(fetched)


def test_kr_06_an_error_about_no_package_ends_one_wait(database: Database) -> None:
    """The same error that comes again does so for what was fetched meanwhile."""
    returns, client = KeyReturns(database), Client("dev-1")
    returns.expect("one", b"id")
    assert returns.due({"one": NOW, "wants none": NOW}, client) == {"one"}
    for number in (1, 3):
        returns.note(client, KeyReturn("error", None, 71, b"same"), hours(number))
        assert returns.due({"one": hours(number)}, client) == set()
        assert returns.due({"one": hours(number + 1)}, client) == {"one"}
        assert returns.due({"one": NOW}, Client("dev-2")) == {"one"}
    returns.expect("two", b"id 2")
    assert returns.due({"one": NOW, "two": NOW}, client) == {"two"}


def test_kr_06_an_error_about_a_generated_key_is_none_about_symmetric_keys(database: Database) -> None:
    returns, client = KeyReturns(database), Client("dev-1")
    returns.expect("one", b"id")
    returns.expect_of(client, "77", b"generated", NOW)
    returns.note(client, KeyReturn("error", None, 71, b"same"), NOW, "serverkeygen")
    assert returns.due({"one": NOW}, client) == {"one"}
    assert not returns.generated_is_due(client)
    returns.expect_of(client, "78", b"another", hours(1))
    assert returns.generated_is_due(client)
