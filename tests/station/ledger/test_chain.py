"""What was written stays as it is, and any change to it shows."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import Head, Ledger
from tests.station.ledger.postgres import PostgresServer


def fill(ledger: Ledger, count: int = 4) -> None:
    ledger.append("run-started", run="run-1", facts={"operator": "Ana Ruß", "profile": "router"})
    claim = ledger.claim("SN1", "bench-a", "run-1", 60, line="/dev/ttyUSB0")
    for number in range(count - 2):
        ledger.append("step", claim=claim, step=f"s{number}", outcome="done", facts={"elapsed_s": 0.25, "n": number})


def tamper(place: str, *statements: str) -> None:
    """What somebody does who has the database, but none of our code."""
    if "://" in place:
        with psycopg.connect(place, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())
    else:
        with sqlite3.connect(place) as file:
            for statement in statements:
                file.execute(statement)
        file.close()


def off(place: str) -> tuple[str, ...]:
    """Statements that take the triggers of the entries and the head away."""
    if "://" in place:
        return tuple(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in ("ledger_entries", "ledger_head"))
    with sqlite3.connect(place) as file:
        names = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    file.close()
    return tuple(f"DROP TRIGGER {name}" for name in names)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET outcome = 'done' WHERE number = 2",
        "DELETE FROM ledger_entries WHERE number = 4",
        "DELETE FROM ledger_entries",
        "UPDATE ledger_head SET number = 1",
        "DELETE FROM ledger_head",
        "UPDATE ledger_about SET value = 'x' WHERE name = 'id'",
        "DELETE FROM ledger_about",
    ],
)
def test_the_database_itself_refuses_changes(ledger: Ledger, place: str, statement: str) -> None:
    fill(ledger)
    before = list(ledger.entries())
    with pytest.raises((sqlite3.DatabaseError, psycopg.Error), match="append-only"):
        tamper(place, statement)
    assert list(ledger.entries()) == before
    ledger.verify()


_FORGED = (
    "INSERT INTO ledger_entries SELECT {number}, time, 'provisioned', 'SN9', line, run, step, outcome, NULL, facts, hash, hash "
    "FROM ledger_entries WHERE number = 2"
)


@pytest.mark.parametrize("number", [-7, 0, 6, 9999])
def test_only_the_next_number_can_be_written(ledger: Ledger, place: str, number: int) -> None:
    """Whoever may insert, as a station may, can neither write before the chain nor far behind it."""
    fill(ledger)
    with pytest.raises((sqlite3.DatabaseError, psycopg.Error), match="append-only"):
        tamper(place, _FORGED.format(number=number))
    ledger.append("note")
    ledger.verify()


def test_the_numbers_are_those_of_the_ledger_and_not_of_a_temporary_table(postgres: PostgresServer) -> None:
    place = postgres.place()
    with Ledger.open(place) as ledger:
        fill(ledger)
        shadow = "CREATE TEMPORARY TABLE ledger_head AS SELECT 1 AS single, -1 AS number, '' AS hash"
        with pytest.raises(psycopg.Error, match="append-only"):
            tamper(place, shadow, _FORGED.format(number=0))


@pytest.mark.parametrize("number", [-7, 0])
def test_nobody_believes_what_is_before_the_first_entry(ledger: Ledger, place: str, number: int) -> None:
    """Without the triggers it can be written. It is no proof of anything, and `verify` names it, with a head or without."""
    fill(ledger)
    tamper(place, *off(place), _FORGED.format(number=number))
    assert ledger.device("SN9") is None
    assert "SN9" not in [one.serial_number for one in (*ledger.devices(), *ledger.devices(run="run-1"))]
    assert "SN9" not in [one.device for one in (*ledger.entries(), *ledger.newest(99))]
    assert ledger.claim("SN9", "bench-b", "run-2", 60).device == "SN9"
    for kept in (None, ledger.head()):
        with pytest.raises(LedgerError, match=f"entry {number} is before the first one") as caught:
            ledger.verify(kept)
        assert caught.value.entry == number


def test_neither_replacing_nor_truncating_gets_round_that(tmp_path: Path, postgres: PostgresServer) -> None:
    path, url = str(tmp_path / "ledger.sqlite"), postgres.place()
    for place, statement in (
        (path, "REPLACE INTO ledger_entries SELECT 2, time, kind, 'X', line, run, step, outcome, 1, '', hash, hash FROM ledger_entries"),
        (path, "REPLACE INTO ledger_head VALUES (1, 2, 'x')"),
        (url, "TRUNCATE ledger_entries"),
        (url, "TRUNCATE ledger_head"),
    ):  # fmt: skip
        with Ledger.open(place) as ledger:
            ledger.append("note")
            ledger.append("note")
            with pytest.raises((sqlite3.DatabaseError, psycopg.Error), match="append-only"):
                tamper(place, statement)
            ledger.verify()


@pytest.mark.parametrize(
    ("statement", "number", "words"),
    [
        ("UPDATE ledger_entries SET outcome = 'done' WHERE number = 2", 2, "not as it was written"),
        ("UPDATE ledger_entries SET facts = '{\"n\":7}' WHERE number = 3", 3, "not as it was written"),
        (
            'UPDATE ledger_entries SET facts = \'{"elapsed_s":0.25, "n":0}\' WHERE number = 3',
            3,
            "facts are not as they were",
        ),
        ("UPDATE ledger_entries SET facts = 'x' WHERE number = 3", 3, "facts are not as they were"),
        ("UPDATE ledger_entries SET time = '2026-01-01T00:00:00.000Z' WHERE number = 1", 1, "not as it was written"),
        ("UPDATE ledger_entries SET previous = hash WHERE number = 3", 3, "does not follow"),
        ("UPDATE ledger_entries SET hash = previous WHERE number = 3", 3, "not as it was written"),
        ("UPDATE ledger_entries SET number = 9 WHERE number = 4", 4, "is missing"),
        ("DELETE FROM ledger_entries WHERE number = 2", 2, "is missing"),
        ("DELETE FROM ledger_entries WHERE number = 4", 4, "was cut off"),
        ("DELETE FROM ledger_entries", 1, "was cut off"),
        ("UPDATE ledger_head SET number = 3", 4, "not that of the head"),
        ("UPDATE ledger_head SET hash = 'x'", 4, "not that of the head"),
    ],
)
def test_verify_names_the_first_bad_entry(place: str, statement: str, number: int, words: str) -> None:
    with Ledger.open(place) as ledger:
        fill(ledger)
        tamper(place, *off(place), statement)
        with pytest.raises(LedgerError, match=words) as caught:
            ledger.verify()
    assert caught.value.entry == number


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_entries SET outcome = x'00ff' WHERE number = 2",
        "UPDATE ledger_entries SET facts = x'7b7d' WHERE number = 2",
        "UPDATE ledger_entries SET facts = '{\"n\":NaN}' WHERE number = 2",
        "UPDATE ledger_entries SET time = 7 WHERE number = 2",
        "UPDATE ledger_entries SET time = '2026-13-01T00:00:00.000Z' WHERE number = 2",
        "UPDATE ledger_entries SET claim = 'x' WHERE number = 2",
        "UPDATE ledger_entries SET device = x'01' WHERE number = 2",
        "UPDATE ledger_head SET number = 'x'",
        "DELETE FROM ledger_head",
    ],
)
def test_what_was_never_written_by_a_ledger(tmp_path: Path, statement: str) -> None:
    """SQLite keeps anything in any column. Nothing but a LedgerError comes of it, however the ledger is looked at."""
    place = str(tmp_path / "ledger.sqlite")
    with Ledger.open(place) as ledger:
        fill(ledger)
        tamper(place, *off(place), statement)
        with pytest.raises(LedgerError):
            ledger.verify()
        if "head" not in statement:
            with pytest.raises(LedgerError, match="entry 2"):
                exported(ledger)


def test_verify_notices_that_the_triggers_are_gone(ledger: Ledger, place: str) -> None:
    fill(ledger)
    tamper(place, *off(place))
    with pytest.raises(LedgerError, match="ledger_entries"):
        ledger.verify()


_NOTHING = "CREATE TRIGGER {0} BEFORE DELETE ON ledger_entries WHEN 0 BEGIN SELECT 1; END"
_FORWARD = """CREATE OR REPLACE TRIGGER ledger_head_forward BEFORE UPDATE ON ledger_head FOR EACH ROW
    WHEN (NEW.number = 0) EXECUTE FUNCTION ledger_refuse()"""
_OTHERS = [
    ("sqlite", ["DROP TRIGGER ledger_entries_no_delete", _NOTHING.format("ledger_entries_no_delete")], "was changed: ledger_e"),
    ("sqlite", [_NOTHING.format("x")], "not the ledger's: x"),
    ("sqlite", ["CREATE TRIGGER x AFTER INSERT ON ledger_entries BEGIN DELETE FROM ledger_claims; END"], "not the ledger's: x"),
    ("postgresql", [
        "CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$"
    ], r"was changed: ledger_refuse\(\)"),
    ("postgresql", [_FORWARD], "was changed: ledger_head_forward"),
    ("postgresql", [_FORWARD.replace("= 0", "<> OLD.number + 2")], "was changed: ledger_head_forward"),
    ("postgresql", [_FORWARD.replace("= 0", "<> OLD.number + 1").replace("UPDATE", "UPDATE OF hash")], "was changed: ledger_head_forward"),
    ("postgresql", ["ALTER FUNCTION ledger_next() SET search_path = station, pg_catalog"], r"was changed: ledger_next\(\)"),
    ("postgresql", ["ALTER FUNCTION ledger_next() SECURITY DEFINER"], "was changed: ledger_entries_next"),
    ("postgresql", ["ALTER TABLE ledger_entries ENABLE REPLICA TRIGGER ledger_entries_next"], "has lost .*: ledger_entries_next"),
    ("postgresql", [
        "CREATE TRIGGER ledger_about_fixed BEFORE INSERT ON ledger_claims FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()"
    ], "not the ledger's: ledger_about_fixed on ledger_claims"),
    ("postgresql", [
        "CREATE RULE ledger_about_fixed AS ON INSERT TO ledger_claims DO ALSO NOTHING"
    ], "not the ledger's: ledger_about_fixed"),
    ("postgresql", ["CREATE RULE x AS ON INSERT TO ledger_claims DO ALSO NOTHING"], "not the ledger's: x"),
    ("postgresql", [
        "CREATE TRIGGER x BEFORE INSERT ON ledger_claims FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()"
    ], "not the ledger's: x"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "statements", "words"), _OTHERS, indirect=["place"])
def test_verify_notices_triggers_that_do_something_else(
    ledger: Ledger, place: str, statements: list[str], words: str
) -> None:
    fill(ledger)
    ledger.verify()
    tamper(place, *statements)
    with pytest.raises(LedgerError, match=words):
        ledger.verify()


def test_a_head_kept_elsewhere_shows_what_the_ledger_itself_cannot(ledger: Ledger, place: str) -> None:
    fill(ledger)
    kept = ledger.head()
    ledger.append("note")
    assert ledger.verify(kept).head.number == 5
    with pytest.raises(LedgerError, match=f"is of ledger {'0' * 32}"):
        ledger.verify(Head("0" * 32, kept.number, kept.hash))
    with pytest.raises(LedgerError, match="written anew"):
        ledger.verify(Head(kept.ledger, 4, "0" * 64))
    with pytest.raises(LedgerError, match="cut off") as caught:
        ledger.verify(Head(kept.ledger, 9, "0" * 64))
    assert caught.value.entry == 6
    (third,) = [entry for entry in ledger.entries() if entry.number == 3]
    tamper(place, *off(place), "DELETE FROM ledger_entries WHERE number > 3",
           f"UPDATE ledger_head SET number = 3, hash = '{third.hash}'")  # fmt: skip # noqa: S608
    with pytest.raises(LedgerError, match="cut off") as caught:
        ledger.verify(kept)
    assert caught.value.entry == 4


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("DELETE FROM ledger_identities WHERE kind = 'mac'", 1),
        ("DELETE FROM ledger_identities WHERE kind = 'key'", 1),
        ("UPDATE ledger_identities SET device = 'SN2' WHERE kind = 'mac'", 1),
        ("UPDATE ledger_identities SET entry = 99", 99),
        ("INSERT INTO ledger_identities VALUES ('mac', '02:00:5e:10:00:09', 'SN1', 1)", 1),
    ],
)
def test_what_devices_are_told_apart_by_is_verified(ledger: Ledger, place: str, statement: str, number: int) -> None:
    facts = {"macs": ["02:00:5e:10:00:01"], "public_key_sha256": "aa" * 32}
    claim = ledger.claim("SN1", "bench-a", "run-1", 60, facts=facts)
    ledger.append("failed", claim=claim, facts=facts)
    ledger.release(claim)
    again = ledger.claim("SN1", "bench-a", "run-2", 60, facts=facts | {"public_key_sha256": "bb" * 32}, again=True)
    ledger.release(again)
    other = ledger.claim("SN2", "bench-a", "run-2", 60)
    ledger.release(other)
    assert ledger.verify().head.number == 7
    tamper(place, statement)
    with pytest.raises(LedgerError, match="MAC addresses and keys") as caught:
        ledger.verify()
    assert caught.value.entry == number


def foreign_check(lines: list[str], ledger: str) -> int:
    """Verify an export as docs/provisioning.md says it can be done, with nothing of ours."""
    previous = hashlib.sha256(b"device-sdk ledger 1\0" + ledger.encode()).hexdigest()
    for line in lines:
        entry = json.loads(line)
        claimed = entry.pop("hash")
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        assert entry["previous"] == previous
        assert hashlib.sha256(text.encode()).hexdigest() == claimed
        previous = claimed
    return len(lines)


def exported(ledger: Ledger) -> list[str]:
    stream = io.StringIO()
    ledger.export("jsonl", stream)
    return stream.getvalue().splitlines()


def test_an_export_is_verified_without_us(ledger: Ledger) -> None:
    fill(ledger)
    assert foreign_check(exported(ledger), ledger.id) == 4


@pytest.mark.parametrize("count", [0, 1, 1001])
def test_pages_of_any_number(tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than two pages of entries, and none; SQLite's writes need not reach the disk for that."""
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        with ledger._database.write() as connection:
            from device_sdk.station.ledger import chain

            head = chain.last(connection, ledger.id, lock=True)
            for number in range(count):
                entry = chain.append(connection, head, 1e9 + number, "note", {"run": f"run-{number % 2}"})
                head = Head(ledger.id, entry.number, entry.hash)
        assert ledger.verify().head.number == count
        assert [entry.number for entry in ledger.entries()] == list(range(1, count + 1))
        assert sum(1 for _ in ledger.entries(run="run-1")) == count // 2
        assert sum(1 for _ in ledger.entries(limit=700)) == min(count, 700)
        assert [entry.number for entry in ledger.newest(2)] == list(range(count, max(count - 2, 0), -1))


def test_the_hash_covers_every_field(ledger: Ledger) -> None:
    entry = ledger.append("note", device="SN1", line="l", run="r", step="s", outcome="o", facts={"a": 1})
    assert set(entry.document()) == set(vars(entry)) - {"hash"}
    changes: list[Callable[[dict[str, object]], object]] = []
    for name in entry.document():
        changes.append(lambda one, name=name: one.update({name: "other"}))  # type: ignore[misc]
    from device_sdk.station.ledger.entry import digest

    for change in changes:
        document = entry.document()
        change(document)
        assert digest(document) != entry.hash
