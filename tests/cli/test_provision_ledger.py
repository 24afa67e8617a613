"""`device-sdk provision ledger`: what a script gets, and what becomes of a ledger that somebody changed."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from device_sdk.station.ledger import Ledger
from tests.cli.conftest import Cli
from tests.station.ledger.test_chain import foreign_check, off, tamper

FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-1", "@SUM(A1)", "\t=1", " =1", "'=1", "＝1")  # noqa: RUF001


@pytest.fixture
def place(cli: Cli) -> str:
    """A ledger with a device whose serial number is a formula, and the setting that names it."""
    place = str(cli.directory / "ledger.sqlite")
    with Ledger.open(place) as ledger:
        ledger.append("run-started", run="run-1")
        for number, text in enumerate(FORMULAS):
            ledger.append("note", run="run-1", line=text, facts={text: number})
        claim = ledger.claim("=SN1", "bench-a", "run-1", 60)
        ledger.append("failed", claim=claim, facts={"reason": "no prompt\x1b[2J"})
    cli.environment["DEVICE_SDK_STATION_LEDGER"] = place
    return place


def test_a_whole_ledger(cli: Cli, place: str) -> None:
    head = cli.ok("provision", "ledger", "head").out.strip()
    assert cli.ok("provision", "ledger", "head", "--json").json["head"] == head
    said = cli.ok("provision", "ledger", "verify", "--json").json
    assert (said["entries"], said["hash"]) == (11, head.rpartition(":")[2])
    (cli.directory / "kept").write_text(f"{head}\n")
    with Ledger.open(place) as ledger:
        ledger.append("note")
    for kept in (head, cli.directory / "kept"):
        assert "the kept head is in it" in cli.ok("provision", "ledger", "verify", "--head", kept).out
    assert "no head of a ledger" in cli.fails(2, "provision", "ledger", "verify", "--head", "x:1:2")
    assert "No such file" in cli.fails(2, "provision", "ledger", "verify", "--head", "none")


def test_a_ledger_that_was_changed(cli: Cli, place: str) -> None:
    tamper(place, *off(place), "UPDATE ledger_entries SET device = 'SN2' WHERE number = 10")
    assert "entry 10 is not as it was written" in cli.fails(13, "provision", "ledger", "verify")
    done = cli.run("provision", "ledger", "verify", "--json")
    assert done.returncode == 13
    assert b'"entry": 10' in done.stdout


def test_show(cli: Cli, place: str) -> None:
    lines = cli.ok("provision", "ledger", "show", "--last", 2).out.splitlines()
    assert [line.split()[0] for line in lines] == ["10", "11"]
    assert "\x1b" not in "".join(lines)
    said = cli.ok("provision", "ledger", "show", "--device", "=SN1", "--json").json
    assert (said["device"]["state"], len(said["entries"])) == ("failed", 2)
    assert "no entries" in cli.ok("provision", "ledger", "show", "--run", "other").out
    assert "knows no device SN9" in cli.fails(2, "provision", "ledger", "show", "--device", "SN9")
    assert "--last" in cli.fails(2, "provision", "ledger", "show", "--last", 0)


def test_csv_computes_nothing_in_a_spreadsheet(cli: Cli, place: str) -> None:
    text = cli.ok("provision", "ledger", "export", "--format", "csv").out
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == 12
    cells = [cell for row in rows for cell in row]
    assert not [cell for cell in cells if cell.lstrip(" \t").startswith(("=", "+", "-", "@", "＝"))]  # noqa: RUF001
    with Ledger.open(place) as ledger:
        lines = [entry.line for entry in ledger.entries() if entry.line]
    assert {row[4].removeprefix("'") for row in rows[1:]} >= set(lines) - {"'=1"}


def test_lines_of_json_are_verified_without_us(cli: Cli, place: str) -> None:
    ledger = cli.ok("provision", "ledger", "head", "--json").json["ledger"]
    text = cli.ok("provision", "ledger", "export", "--format", "jsonl").out
    assert foreign_check(text.splitlines(), ledger) == 11
    assert len(cli.ok("provision", "ledger", "export", "--device", "=SN1").out.splitlines()) == 2


def test_ledgers_that_cannot_be_opened(cli: Cli, tmp_path: Path) -> None:
    assert "there is no such ledger" in cli.fails(13, "provision", "ledger", "head", "--ledger", tmp_path / "none")
    url = "postgresql:///x?user=lab&password=hunter2"
    said = cli.fails(2, "provision", "ledger", "head", env={"DEVICE_SDK_STATION_LEDGER": url})
    assert "has a password in it" in said
    assert "hunter2" not in said
    said = cli.fails(2, "provision", "ledger", "head", "--ledger", "postgresql://lab:hunter2@host/x")
    assert "hunter2" not in said


def test_who_is_to_own_a_ledger_makes_it(cli: Cli) -> None:
    """Without a profile, a line or a device; one that is there stays as it is."""
    place = cli.directory / "new" / "ledger.sqlite"
    made = cli.ok("provision", "ledger", "make", "--ledger", place, "--json").json["ledger"]
    assert cli.ok("provision", "ledger", "make", "--ledger", place).out == f"ledger {made} is there\n"
    assert "whole: 0 entries" in cli.ok("provision", "ledger", "verify", "--ledger", place).out


def test_a_ledger_to_go_on_with(cli: Cli, place: str) -> None:
    """An entry that no station wrote stops the bench; `verify` says which, and `make --from` leaves it out."""
    head = cli.ok("provision", "ledger", "head").out.strip()
    foreign = (
        "SELECT 12, time, 'provisioned', 'SN9', line, run, step, outcome, 1, facts, hash, hash FROM ledger_entries"
    )
    tamper(place, f"INSERT INTO ledger_entries {foreign} WHERE number = 1")  # ours
    assert "knows no device SN9" in cli.fails(2, "provision", "ledger", "show", "--device", "SN9")
    assert "knows no device SN9" in cli.fails(2, "provision", "label", "SN9")
    assert "ledger make --from" in cli.fails(13, "provision", "ledger", "verify")
    new = cli.directory / "new" / "ledger.sqlite"
    made = ("provision", "ledger", "make", "--from", place, "--ledger", new)
    said = cli.ok(*made).out
    assert head in said
    assert "left out: 1, as entry 12 is not that of the head, which says 11" in said
    assert "there is a ledger already" in cli.fails(13, *made)
    assert "the kept head is in it" in cli.ok("provision", "ledger", "verify", "--ledger", new, "--head", head).out
