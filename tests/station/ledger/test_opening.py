"""Ledgers that are not there, are somebody else's, of another version, or cannot be written."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import psycopg
import pytest

from device_sdk.errors import ConfigurationError, LedgerError, MissingDependencyError
from device_sdk.station.ledger import Ledger
from tests.mounts import UNSHARE
from tests.station.ledger.postgres import PASSWORD, PostgresServer
from tests.station.ledger.test_chain import off, tamper


def test_a_new_ledger_is_of_this_user_alone_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    before = os.umask(0)
    try:
        with Ledger.open(path) as ledger:
            ledger.append("note")
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            with ledger._database.write() as connection:
                pragmas = [
                    connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
                ]
    finally:
        os.umask(before)
    assert modes == {"ledger.sqlite": 0o600, "ledger.sqlite-wal": 0o600, "ledger.sqlite-shm": 0o600}
    assert pragmas == ["wal", 2]
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.sqlite"]


def test_it_is_the_same_ledger_the_next_time(place: str) -> None:
    with Ledger.open(place) as ledger:
        ledger.append("note", run="run-1")
        first = ledger.id
    with Ledger.open(place) as ledger:
        assert (ledger.id, ledger.append("note").number) == (first, 2)
    with Ledger.open(place, read_only=True) as ledger:
        assert ledger.head().number == 2
        with pytest.raises(LedgerError, match="cannot be written"):
            ledger.append("note")
        ledger.verify()


_READ_ONLY = """
mkdir "$2/medium"
mount -t tmpfs -o mode=755 none "$2/medium"
cp "$2"/ledger.sqlite* "$2/medium"
mount -o remount,ro "$2/medium"
"$0" -m device_sdk.cli.main provision ledger verify --ledger "$2/medium/ledger.sqlite"
"""


def test_a_copy_on_a_read_only_medium_is_verified(tmp_path: Path) -> None:
    """Years later, from what an auditor was given."""
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.append("note")
    run = [*UNSHARE, "sh", "-ec", _READ_ONLY, sys.executable, "", str(tmp_path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "whole: 1 entries" in done.stdout


def test_where_nobody_may_write_nothing_is_left_and_nothing_is_overlooked(tmp_path: Path) -> None:
    place = tmp_path / "kept" / "ledger.sqlite"
    place.parent.mkdir()
    with Ledger.open(place) as ledger:
        ledger.append("note")
    place.parent.chmod(0o555)
    try:
        with Ledger.open(place, read_only=True) as ledger:
            assert ledger.verify().head.number == 1
            assert [file.name for file in place.parent.iterdir()] == ["ledger.sqlite"]
        place.parent.chmod(0o755)
        place.with_name("ledger.sqlite-wal").write_bytes(b"x")
        place.parent.chmod(0o555)
        with pytest.raises(LedgerError, match="-wal holds entries, too"):
            Ledger.open(place, read_only=True)
    finally:
        place.parent.chmod(0o755)


def test_who_only_looks_makes_none(tmp_path: Path, postgres: PostgresServer) -> None:
    with pytest.raises(LedgerError, match="there is no such ledger"):
        Ledger.open(tmp_path / "ledger.sqlite", read_only=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(LedgerError, match="no ledger in this database"):
        Ledger.open(postgres.place(), create=False)


def test_another_version_is_refused_and_not_touched(place: str) -> None:
    Ledger.open(place).close()
    tamper(place, *off(place))
    drop = "ALTER TABLE ledger_about DISABLE TRIGGER ALL" if "://" in place else "SELECT 1"
    tamper(place, drop, "UPDATE ledger_about SET value = '7' WHERE name = 'version'")
    with pytest.raises(LedgerError, match=r"of version 7, this program writes version 1 \(use the release"):
        Ledger.open(place)


@pytest.mark.parametrize("content", [b"", b"not a database" * 100, "sqlite"])
def test_a_file_that_is_no_ledger(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "ledger.sqlite"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as file:
            file.execute("CREATE TABLE ledger_about (name, value)")
        file.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="is not a ledger"):
        Ledger.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_what_another_ledger_left_is_not_written_over_a_new_one(tmp_path: Path, suffix: str) -> None:
    """SQLite would take it for the new file's own."""
    left = tmp_path / f"l.sqlite{suffix}"
    left.write_bytes(b"the last entries")
    with pytest.raises(LedgerError, match="to a ledger that was moved or removed"):
        Ledger.open(tmp_path / "l.sqlite")
    assert [one.name for one in tmp_path.iterdir()] == [left.name]
    assert left.read_bytes() == b"the last entries"


def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        for _ in range(50):
            ledger.append("note", facts={"x": "y" * 500})
    content = bytearray(path.read_bytes())
    content[5000 : len(content) - 4000] = os.urandom(len(content) - 9000)
    path.write_bytes(content)
    with pytest.raises(LedgerError), Ledger.open(path) as ledger:
        ledger.verify()


def test_a_place_where_others_may_write(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    path.chmod(0o620)
    with pytest.raises(LedgerError, match="others may write"):
        Ledger.open(path)
    path.chmod(0o600)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(LedgerError, match="may write to this directory"):
        Ledger.open(tmp_path / "shared" / "ledger.sqlite")
    assert list((tmp_path / "shared").iterdir()) == []


@pytest.mark.parametrize("place", ["/proc/none/ledger", "\0", "/dev/null", "/", "/root/" + "x" * 300])
def test_places_that_cannot_be(place: str) -> None:
    with pytest.raises(LedgerError):
        Ledger.open(place)


@pytest.mark.parametrize(
    "place",
    [
        "postgresql://lab:hunter2@/x",
        "postgresql:///x?user=lab&password=hunter2",
        "postgresql:///x?sslpassword=hunter2",
        "postgresql://lab:hunter2@[::1/x",
        "mysql://lab:hunter2@host/x",
        "postgresql:///x?options=-c%20hunter2",
        "postgresql://host:hunter2/x",
    ],
)
def test_urls_with_passwords_and_worse(place: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Ledger.open(place)
    assert "hunter2" not in str(caught.value).replace("-c hunter2", "")
    assert caught.value.__cause__ is None


def test_the_password_is_nowhere(postgres: PostgresServer, tmp_path: Path) -> None:
    """Neither in the message, nor in the exceptions behind it, nor in what those hold."""
    wrong = tmp_path / "passfile"
    wrong.write_text("*:*:*:*:hunter2-hunter2\n")
    wrong.chmod(0o600)
    url = re.sub("passfile=.*", f"passfile={wrong}", postgres.url("lab"))
    with pytest.raises(LedgerError, match="password authentication failed") as caught:
        Ledger.open(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error!r} {error} {vars(error)}"
        assert PASSWORD not in f"{error!r} {error}"
        error = error.__cause__ or error.__context__


def test_a_database_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file"):
        Ledger.open(f"postgresql:///x?host={tmp_path}&user=lab", wait_s=1)


def test_another_writer_does_not_let_go(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    with sqlite3.connect(path, isolation_level=None) as other, Ledger.open(path, wait_s=0.2) as ledger:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="another process keeps the ledger"):
            ledger.append("note")
        assert ledger.head().number == 0  # looking is possible all the time
        other.execute("ROLLBACK")
        ledger.append("note")
    other.close()


def test_another_writer_does_not_let_go_of_postgresql(postgres: PostgresServer) -> None:
    place = postgres.place()
    Ledger.open(place).close()
    with psycopg.connect(place) as other, Ledger.open(place, wait_s=1) as ledger:
        ledger._database._grace_s = 60  # the server says first that it is locked, however busy the machine is
        other.execute("SELECT * FROM ledger_head FOR UPDATE")
        with pytest.raises(LedgerError, match="another process keeps the ledger"):
            ledger.append("note")
        assert ledger.head().number == 0
        other.rollback()
        ledger.append("note")


FULL = """
import sys
from device_sdk.errors import LedgerError
from device_sdk.station.ledger import Ledger
ledger = Ledger.open(sys.argv[1] + "/ledger.sqlite")
number = 0
try:
    while number < 10000:
        number = ledger.append("note", facts={"x": "y" * 2000}).number
except LedgerError as error:
    print(error)
assert ledger.verify().head.number == number, "what was acknowledged is there, and nothing else"
open(sys.argv[1] + "/ballast", "w").close()
assert ledger.append("note").number == number + 1
ledger.verify()
"""


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path) -> None:
    script = (
        'mount -t tmpfs -o size=1m,mode=700 none "$2"; head -c 300000 /dev/zero > "$2/ballast"; exec "$0" -c "$1" "$2"'
    )
    run = [*UNSHARE, "sh", "-ec", script, sys.executable, FULL, str(tmp_path)]
    done = subprocess.run(run, capture_output=True, check=False, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "full" in done.stdout
    assert "make room on the disk of the ledger" in done.stdout


def test_a_station_needs_no_more_rights_than_documented(postgres: PostgresServer) -> None:
    """The grants of docs/provisioning.md are enough for everything, and not for taking triggers away."""
    text = (Path(__file__).parents[3] / "docs" / "provisioning.md").read_text()
    grants = re.search(r"```sql\n(.*?)```", text, re.DOTALL)
    assert grants is not None
    owner, station = postgres.place(), postgres.place()
    owner_name, name = (re.search(r"user=(\w+)", url).group(1) for url in (owner, station))  # type: ignore[union-attr]
    Ledger.open(owner).close()
    tamper(
        owner, f"GRANT USAGE ON SCHEMA {owner_name} TO {name}", *grants[1].replace("bench", name).strip().split(";\n")
    )
    postgres.sql(f"ALTER ROLE {name} SET search_path = {owner_name}")
    with Ledger.open(station) as ledger:
        claim = ledger.claim("SN1", "bench-a", "run-1", 60, facts={"macs": ["02:00:5e:10:00:01"]}, again=True)
        ledger.renew(claim)
        ledger.append("provisioned", claim=claim)
        ledger.release(claim)
        ledger.claim("SN2", "bench-a", "run-1", 60, facts={"macs": ["02:00:5e:10:00:01"]}, again=True)
        ledger.release_all("bench-a", "run-1")
        assert ledger.verify().head.number == 5
    for statement in (
        *off(station),
        "DROP TABLE ledger_entries",
        "DELETE FROM ledger_entries",
        "UPDATE ledger_about SET value = 'x'",
    ):
        with pytest.raises(psycopg.Error, match=r"must be owner|permission denied"):
            tamper(station, statement)


@pytest.mark.parametrize("how", ["PGPASSFILE", "PGPASSWORD"])
def test_the_password_comes_from_the_environment(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv(how, str(postgres.passfile) if how == "PGPASSFILE" else PASSWORD)
    with Ledger.open(re.sub("&passfile=.*", "", postgres.place())) as ledger:
        assert ledger.append("note").number == 1


@pytest.mark.parametrize(("missing", "extra"), [("sqlalchemy", "station"), ("psycopg", "postgresql")])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, extra: str) -> None:
    gone = {missing} | ({"device_sdk.station.ledger"} if missing == "sqlalchemy" else set())
    for name in [name for name in sys.modules if any(name == one or name.startswith(f"{one}.") for one in gone)]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependencyError, match=missing) as caught:
        import_module("device_sdk.station.ledger").Ledger.open("postgresql:///x")
    assert caught.value.extra == extra
