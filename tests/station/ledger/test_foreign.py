"""Entries that no station wrote: nobody believes them, they are named, and there is a way to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_sdk.errors import LedgerError
from device_sdk.station.ledger import Ledger, copy_ledger
from tests.station.ledger.test_chain import exported, fill, foreign_check, off, tamper

_FOREIGN = (
    "INSERT INTO ledger_entries SELECT 5, time, 'provisioned', 'SN9', line, 'run-1', step, outcome, NULL, facts, hash, hash "
    "FROM ledger_entries WHERE number = 2"
)
"""The next number, which who may insert, may insert."""


def believes(ledger: Ledger) -> bool:
    """Whether anything says that SN9 is provisioned."""
    records = (ledger.device("SN9"), *ledger.devices(), *ledger.devices(run="run-1"))
    named = [one.serial_number for one in records if one is not None]
    entries = (*ledger.entries(), *ledger.newest(99), *ledger.newest(9, device="SN9"), *ledger.entries(device="SN9"))
    return "SN9" in [*named, *(one.device for one in entries)]


def test_nobody_believes_what_is_behind_the_head(ledger: Ledger, place: str) -> None:
    fill(ledger)
    tamper(place, _FOREIGN)
    assert not believes(ledger)
    assert foreign_check(exported(ledger), ledger.id) == 4
    with pytest.raises(LedgerError, match="it was put there") as caught:
        ledger.verify()
    assert (caught.value.entry, "make --from" in (caught.value.hint or "")) == (5, True)
    for write in (lambda: ledger.append("note"), lambda: ledger.claim("SN9", "bench-b", "run-2", 60)):
        with pytest.raises(LedgerError, match="there is an entry 5 already") as caught:
            write()
        assert (caught.value.entry, "ledger verify" in (caught.value.hint or "")) == (5, True)


def test_nobody_believes_what_is_not_as_its_hash_says(ledger: Ledger, place: str) -> None:
    """Who may write the head, too, as a station may, can put such an entry before it."""
    fill(ledger)
    tamper(place, _FOREIGN, "UPDATE ledger_head SET number = 5, hash = 'x'")
    questions = (
        lambda: ledger.device("SN9"), lambda: list(ledger.devices()), lambda: list(ledger.entries()),
        lambda: ledger.newest(1), lambda: ledger.claim("SN9", "bench-b", "run-2", 60),
    )  # fmt: skip
    for ask in questions:
        with pytest.raises(LedgerError, match="entry 5: is not as it was written"):
            ask()
    assert len(exported(ledger)) == 5, "for whoever checks it himself"


def test_a_lost_head_is_told_of(ledger: Ledger, place: str) -> None:
    fill(ledger)
    tamper(place, *off(place), "DELETE FROM ledger_head")
    for ask in (lambda: ledger.device("SN1"), lambda: list(ledger.entries()), lambda: ledger.newest(1)):
        with pytest.raises(LedgerError, match="lost its head"):
            ask()


_WRONG = [
    ([], 4, 0, None),
    ([_FOREIGN], 4, 1, "entry 5 is not that of the head"),
    ([_FOREIGN, "UPDATE ledger_head SET number = 5, hash = 'x'"], 4, 1, "entry 5 does not follow"),
    (["UPDATE ledger_entries SET outcome = 'failed' WHERE number = 3"], 2, 2, "entry 3 is not as"),
    (["UPDATE ledger_entries SET facts = 'x' WHERE number = 3"], 2, 2, "entry 3: its facts"),
    (["DELETE FROM ledger_entries WHERE number = 3"], 2, 1, "entry 3 is missing"),
    (["DELETE FROM ledger_entries WHERE number = 4"], 3, 0, "entry 4 was cut off"),
    (["DELETE FROM ledger_head"], 0, 4, "lost its head"),
]


@pytest.mark.parametrize(("statements", "sound", "left", "reason"), _WRONG)
def test_what_is_sound_is_gone_on_with(
    tmp_path: Path, statements: list[str], sound: int, left: int, reason: str | None
) -> None:
    """The same entries in a ledger with the same id: heads that were kept are in it, and stations take it for theirs."""
    old, new = str(tmp_path / "old.sqlite"), tmp_path / "new.sqlite"
    with Ledger.open(old) as ledger:
        fill(ledger)
        kept = [entry.to_json() for entry in ledger.entries()][:sound]
    if statements and statements[0] != _FOREIGN:
        statements = [*off(old), *statements]
    tamper(old, *statements)
    before = Path(old).stat()
    if not sound:
        with pytest.raises(LedgerError, match=f"nothing of this ledger is sound: .*{reason}"):
            copy_ledger(old, new)
        assert not new.exists()
        return
    copied = copy_ledger(old, new)
    assert (copied.head.number, copied.left) == (sound, left)
    assert (reason is None) == (copied.reason is None)
    assert (reason or "") in (copied.reason or "")
    assert Path(old).stat().st_mtime_ns == before.st_mtime_ns
    with Ledger.open(new) as ledger:
        assert [entry.to_json() for entry in ledger.entries()][:sound] == kept
        assert ledger.verify(copied.head).head.number == sound + 1
        (note,) = ledger.newest(1)
        assert (note.kind, note.outcome, note.facts["left_out"]) == ("note", "copied", left)
        claim = ledger.claim("SN1", "bench-a", "run-1", 60)
        ledger.append("provisioned", claim=claim)
        ledger.verify()


def test_what_devices_are_told_apart_by_goes_with_it(place: str, ledger: Ledger, tmp_path: Path) -> None:
    """From each database into a file: a copied device is noticed there, too; a device that moved is where it moved to."""
    facts = {"macs": ["02:00:5e:10:00:01"], "public_key_sha256": "aa" * 32}
    ledger.release(ledger.claim("SN1", "bench-a", "run-1", 60, facts=facts))
    again = {"macs": ["02:00:5e:10:00:01"], "public_key_sha256": "bb" * 32}
    ledger.release(ledger.claim("SN2", "bench-a", "run-1", 60, facts=again, again=True))
    copy_ledger(place, tmp_path / "new.sqlite")
    with Ledger.open(tmp_path / "new.sqlite") as new:
        new.verify()
        with pytest.raises(LedgerError, match="there is a ledger already"):
            copy_ledger(place, tmp_path / "new.sqlite")
        for wrong in ({"macs": facts["macs"]}, {"public_key_sha256": "aa" * 32}):
            with pytest.raises(Exception, match=r"that of device SN[12] already"):
                new.claim("SN3", "bench-a", "run-2", 60, facts=wrong)


def test_from_a_file_into_a_database_that_stations_share(tmp_path: Path, place: str) -> None:
    """And into the other one; many pages of entries are no more than few."""
    with Ledger.open(tmp_path / "old.sqlite") as ledger:
        fill(ledger)
    copied = copy_ledger(tmp_path / "old.sqlite", place)
    assert copied.reason is None
    with Ledger.open(place) as ledger:
        assert ledger.verify(copied.head).head.number == 5
        ledger.append("note")
    with pytest.raises(LedgerError, match="there is a ledger already"):
        copy_ledger(tmp_path / "old.sqlite", place)
