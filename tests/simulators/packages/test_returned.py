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
from device_sdk_simulators.packages.returned import MAX_REPORT_BYTES, MOST, Return
from device_sdk_simulators.packages.shelf import Shelf
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


def fetched(database: Database, item: str, at: datetime) -> None:
    database.execute("INSERT INTO fetches (place, address, at) VALUES (?, 'a', ?)", f"firmware/{item}", at.isoformat())


def test_p_09_what_was_reported_about_is_not_asked_for_again(database: Database) -> None:
    """Nor what was fetched before an error about nothing that has a name; what is fetched later is."""
    Shelf(database)
    shelf = FirmwareShelf(database)
    for item, hours in (("one", 0), ("two", 0), ("three", 2)):
        fetched(database, item, NOW + timedelta(hours=hours))
    shelf.note_report(Return("a", "one", b"refused"), "1.2 00", 28, b"", NOW - timedelta(hours=1))
    assert shelf.reported("a") == {"one"}
    shelf.note_report(Return("a", NO_ITEM, b"unknown"), "1.2 00", 99, b"", NOW + timedelta(hours=1))
    assert shelf.reported("a") == {"one", "two"}
    assert shelf.reported("b") == set()


def test_kr_06_an_error_about_no_package_ends_the_wait(database: Database) -> None:
    """For what was fetched before it; the same error that comes again does so again."""
    returns, client = KeyReturns(database), Client("dev-1")
    returns.expect("one", b"id")
    assert returns.is_due("one", client, NOW)
    for hours in (1, 3):
        returns.note(client, KeyReturn("error", None, 71, b"same"), NOW + timedelta(hours=hours))
        assert not returns.is_due("one", client, NOW + timedelta(hours=hours))
        assert returns.is_due("one", client, NOW + timedelta(hours=hours + 1))
        assert returns.is_due("one", Client("dev-2"), NOW)
