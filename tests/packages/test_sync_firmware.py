"""`sync` and firmware: installed once, confirmed, fetched again where that may help (section 13 of the profile)."""

from __future__ import annotations

import dataclasses
import os
from datetime import timedelta

import pytest
from device_sdk_simulators.packages.firmware.layers import ContentKey
from device_sdk_simulators.packages.firmware.making import Encryption
from pyasn1_alt_modules import rfc4108

from device_sdk.client.device.sync import Deliveries, StepState
from device_sdk.client.firmware import CommandInstaller, FileInstaller
from device_sdk.errors import (
    FirmwareError,
    RolledBackError,
    StateNotWritableError,
)
from tests.firmware.making import IMAGE, NOTES, PACKAGE
from tests.packages.keeping import (
    DONE,
    EARLIER,
    FAILED,
    FIRMWARE,
    KEYS,
    bench,
    content,
    maker,
    sealer,
)
from tests.packages.sealing import key_package, written

__all__ = ["bench", "maker", "sealer"]


def test_fr_06_firmware_is_installed_and_confirmed(bench):
    report = bench.sync(FIRMWARE)
    assert bench.states(report) == [("0026", DONE)]
    assert bench.image.read_bytes() == IMAGE
    (message,) = bench.told
    assert bytes(content(message, rfc4108.FirmwarePackageLoadReceipt())["hwSerialNum"]) == b"\0\xa1"
    assert bench.synced.device.state.outbox.held() == ()
    assert bench.synced.device.state.check() == ()


def test_f_08_firmware_that_is_refused_is_told_once(bench):
    from dataclasses import replace

    bench.give("f-1", bench.maker.make(notes=replace(NOTES, hardware=("1.2.3",))))
    report = bench.sync(FIRMWARE, KEYS)
    assert bench.states(report) == [("0026", FAILED), ("0024", DONE)]
    error = bench.synced.result(report, "0026").error
    assert isinstance(error, FirmwareError)
    assert error.load_error == 27
    assert len(bench.told) == 2
    assert int(content(bench.told[0], rfc4108.FirmwarePackageLoadError())["errorCode"]) == 27
    bench.sync(FIRMWARE)
    assert bench.told == []
    assert not bench.image.exists()


def test_firmware_that_is_refused_is_not_fetched_again_while_nothing_changes(bench):
    """Each time it would be as large as the first; servers note the download, which changes the date once."""
    bench.give("f-1", bench.maker.make(notes=dataclasses.replace(NOTES, hardware=("1.2.3",))))
    entry = bench.synced.entry(*FIRMWARE)
    dated, later = (entry | {"date": f"2026-06-0{day}T00:00:00Z"} for day in (1, 2))

    def fetched(entry, **options) -> bool:
        bench.synced.asked()
        ((_, state),) = bench.states(bench.sync(entry, **options))
        found = "GET firmware/f-1" in bench.synced.asked()
        assert state is (FAILED if found else StepState.SKIPPED)
        return found

    assert fetched(entry)
    assert not any(fetched(entry) for _ in range(2))
    assert [fetched(one) for one in (dated, dated, dated)] == [True, False, False]
    assert [fetched(one) for one in (later, later, later)] == [True, False, False]
    assert [fetched(one) for one in (entry, later, later, entry)] == [True, False, False, True]
    larger = bench.synced.entry(*FIRMWARE[:2], 5001)
    assert [fetched(one) for one in (larger, larger)] == [True, False]
    assert [fetched(larger, again=True), fetched(larger)] == [True, False]
    assert [fetched(larger, hardware="1.2.4") for _ in range(2)] == [True, False]
    assert "refused before" in bench.sync(larger, hardware="1.2.4").steps[0].detail
    assert bench.states(bench.sync(larger, hardware="1.2.3")) == [("0026", DONE)]


def test_firmware_that_was_damaged_on_the_way_is_fetched_again(bench):
    """An answer without a good signature says nothing of the package that the entry names."""
    whole = bench.maker.make()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    for damaged in (whole[: len(whole) // 2], flipped):
        bench.give("f-1", damaged)
        assert bench.states(bench.sync(FIRMWARE)) == [("0026", FAILED)]
    bench.give("f-1", whole)
    assert bench.states(bench.sync(FIRMWARE)) == [("0026", DONE)]


def test_firmware_that_never_arrives_whole_is_fetched_daily_and_told_in_every_run(bench):
    bench.give("f-1", bench.maker.make()[:-9])

    def fetched() -> bool:
        bench.synced.asked()
        report = bench.sync(FIRMWARE)
        assert bench.states(report) == [("0026", FAILED)]
        assert report.failed
        return "GET firmware/f-1" in bench.synced.asked()

    assert [fetched() for _ in range(5)] == [True, True, True, False, False]
    bench.synced.clock.shift += timedelta(days=1)
    assert [fetched(), fetched()] == [True, False]
    bench.give("f-1", bench.maker.make(notes=dataclasses.replace(NOTES, hardware=("1.2.3",))))
    bench.synced.clock.shift += timedelta(days=1)
    assert [bench.states(bench.sync(FIRMWARE)) for _ in range(2)] == [[("0026", FAILED)], [("0026", StepState.SKIPPED)]]


def test_firmware_for_which_there_is_no_room_is_fetched_again(bench):
    """What passes by itself is no word about the package."""

    class Full(FileInstaller):
        def stage(self, attributes, /) -> None:
            raise StateNotWritableError("no room")

    for _ in range(2):
        assert bench.states(bench.sync(FIRMWARE, installer=Full(bench.image))) == [("0026", FAILED)]
    assert bench.states(bench.sync(FIRMWARE)) == [("0026", DONE)]


@pytest.mark.slow
def test_an_error_about_firmware_that_never_came_is_told_once(bench, monkeypatch):
    """Nor does what is known of the package before it go with that; the server can ask for it again."""
    asked = ("0027", "firmware/return", 0)

    def full(entry=FIRMWARE) -> int:
        report = bench.sync(entry)
        assert bench.states(report) == [("0026", FAILED)]
        assert "are free" in report.steps[0].detail
        return len(bench.told)

    def no_room() -> None:
        monkeypatch.setattr("os.statvfs", lambda _: os.statvfs_result((4096, 4096, *[0] * 7, 255)))

    no_room()
    assert [full() for _ in range(3)] == [1, 0, 0]
    bench.sync(FIRMWARE, asked)
    assert len(bench.told) == 1, "sent again, as the server asks for it"
    larger = (*FIRMWARE[:2], FIRMWARE[2] + 1)
    assert [full(larger) for _ in range(2)] == [1, 0], "about another one"
    monkeypatch.undo()
    assert bench.states(bench.sync(larger)) == [("0026", DONE)]
    no_room()
    assert bench.states(bench.sync(larger)) == [("0026", FAILED)]
    monkeypatch.undo()
    assert bench.states(bench.sync(larger)) == [("0026", EARLIER)]


def test_nothing_is_fetched_before_a_restart_that_is_awaited(bench):
    """What came last does not run yet, and it may be needed: the next package waits, and nobody is told of an error."""

    class Restarting(FileInstaller):
        def is_ready(self) -> bool:
            return False

    bench.synced.asked()
    for _ in range(2):
        report = bench.sync(FIRMWARE, installer=Restarting(bench.image))
        assert bench.states(report) == [("0026", StepState.PENDING)]
        assert (report.failed, report.pending, bench.told) == (False, True, [])
        assert "restarted" in report.steps[0].detail
    assert "GET firmware/f-1" not in bench.synced.asked()
    assert bench.states(bench.sync(FIRMWARE)) == [("0026", DONE)]


def test_a_power_cut_that_cannot_be_settled_is_told_in_every_run(bench):
    """Neither the firmware that was being installed nor the one before is there, and nothing is on the list any more."""

    class Cut(FileInstaller):
        def commit(self) -> None:
            bench.image.write_bytes(b"half")
            raise KeyboardInterrupt

    bench.sync(FIRMWARE, returns=False)
    bench.give("f-1", bench.maker.make(IMAGE[1:]))
    with pytest.raises(KeyboardInterrupt):
        bench.sync(FIRMWARE, installer=Cut(bench.image), returns=False)
    for _ in range(2):
        report = bench.sync(returns=False)
        assert (report.failed, report.steps) == (True, ())
        assert any("nor is what was there before" in note for note in report.notes)
    assert bench.states(bench.sync(FIRMWARE, returns=False)) == [("0026", DONE)]
    report = bench.sync(returns=False)
    assert (report.failed, report.notes) == (False, ())


@pytest.mark.parametrize("program", [False, True])
def test_what_a_killed_installation_left_makes_room_before_the_next_package_comes(bench, program):
    """It may be all the room there is."""
    installer = CommandInstaller("/bin/true", bench.image.parent) if program else FileInstaller(bench.image)
    left = bench.image.parent / (
        "device-sdk-firmware-dead" if program else f".{bench.image.name}.999999999.0123abcd.tmp"
    )
    left.mkdir() if program else left.write_bytes(b"half")
    there = []
    served = bench.synced.server.handlers["f-1"]
    bench.synced.server.handlers["f-1"] = lambda seen: (there.append(left.exists()), served(seen))[1]
    assert bench.states(bench.sync(FIRMWARE, installer=installer)) == [("0026", DONE)]
    assert there == [False]


def test_f_10_an_older_version_than_the_installed_one_fails_once_and_is_skipped(bench):
    bench.give("f-2", bench.maker.make(notes=dataclasses.replace(NOTES, name=(PACKAGE, 3))))
    second = ("0026", "firmware/f-2", 5000)
    assert bench.states(bench.sync(FIRMWARE, second)) == [("0026", DONE), ("0026", FAILED)]
    assert len(bench.told) == 2
    report = bench.sync(FIRMWARE, second)
    assert bench.states(report) == [("0026", EARLIER), ("0026", StepState.SKIPPED)]
    assert (report.failed, bench.told) == (False, [])


@pytest.mark.slow
def test_f_10_k_11_a_tpm_keeps_the_keys_opens_the_firmware_and_counts(bench, swtpm, tmp_path):
    """Keys go into files of the TPM; one of them opens the firmware of the same list; an old record is refused afterwards."""
    value, there = bytes(range(32)), tmp_path / "sealed"
    there.mkdir()
    aes = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
    bench.give("k-1", bench.sealer.seal(package=key_package(written("fw-1", value, algorithm=aes))))
    bench.give("f-1", bench.maker.make(encryption=Encryption(b"fw-1", ContentKey(value)), compressed=True))
    plain = bench.deliveries()
    deliveries = Deliveries(
        keys=lambda: dataclasses.replace(plain.keys(), place=f"tpm2:dir={there}"),
        firmware=lambda: dataclasses.replace(
            plain.firmware(), open_with=(f"tpm2:file={there}/fw-1.key.pem",), counter="tpm2:nv=0x01800100"
        ),
    )
    bench.synced.entries = [KEYS, FIRMWARE]
    state = bench.synced.device.state
    assert bench.states(bench.synced.device.sync(deliveries=deliveries)) == [("0024", DONE), ("0026", DONE)]
    assert bench.image.read_bytes() == IMAGE
    old = state.firmware_file.read_bytes()
    bench.give("f-1", bench.maker.make(IMAGE[1:]))
    assert bench.states(bench.synced.device.sync(deliveries=deliveries)) == [("0024", EARLIER), ("0026", DONE)]
    state.firmware_file.write_bytes(old)
    bench.give("f-1", bench.maker.make(IMAGE[2:]))
    report = bench.synced.device.sync(deliveries=deliveries)
    assert isinstance(bench.synced.result(report, "0026").error, RolledBackError)
    assert bench.image.read_bytes() == IMAGE[1:]


def test_no_room_for_the_note_alone_is_told_as_that(bench):
    """The firmware is there, and a reader is not to think otherwise."""
    directory = bench.synced.device.state.path
    folder, aside = directory / "processed", directory / "aside"

    class Filling(FileInstaller):
        def commit(self):
            super().commit()
            folder.rename(aside)
            folder.touch()  # nothing can be written below it

    report = bench.sync(FIRMWARE, installer=Filling(bench.image))
    (step,) = report.steps
    assert (step.state, step.error.code) == (FAILED, "state-not-writable")
    assert bench.image.read_bytes() == IMAGE
    assert step.error.hint.startswith("the firmware is installed all the same, and the next run notes that")
    folder.unlink()
    aside.rename(folder)
    assert not bench.sync(FIRMWARE).failed
    assert bench.states(bench.sync(FIRMWARE)) == [("0026", EARLIER)]
    assert bench.synced.device.state.outbox.held() == ()
