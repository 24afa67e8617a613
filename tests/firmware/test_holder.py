"""The directory of an image is this process's own, whatever happened to the name between making and locking it."""

from __future__ import annotations

import fcntl
import io
import os
from contextlib import suppress
from pathlib import Path

import pytest
from device_sdk_simulators.packages.firmware.notes import Notes

from device_sdk.client.firmware import FirmwarePolicy, FirmwareRules, HardwareModule, installers
from device_sdk.client.firmware.loading import Loading, load
from device_sdk.errors import FirmwareError
from tests.firmware.making import HARDWARE, NOW, PACKAGE, Maker


@pytest.mark.parametrize("taken", [False, True])
def test_a_directory_that_was_swept_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    """Somebody removes it before it is locked, and makes one of the same name, with rights for everybody."""
    lock, swept = fcntl.flock, []

    def flock(descriptor: int, operation: int) -> None:
        if not swept:
            (path,) = tmp_path.iterdir()
            swept.append(path)
            path.rmdir()
            if taken:
                path.mkdir()
                path.chmod(0o777)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    holder = installers._Holder(tmp_path)
    assert holder.path not in swept
    assert os.path.samestat(holder.path.stat(), os.fstat(holder._descriptor))
    assert holder.path.stat().st_mode & 0o777 == 0o700
    holder.close()
    assert not holder.path.exists()


def test_a_program_is_told_what_the_signer_calls_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For devices with several parts; nothing of this process's environment is taken for it."""
    program, said = tmp_path / "program", tmp_path / "said"
    program.write_text(f'#!/bin/sh\necho "$1 $FIRMWARE_PACKAGE/$FIRMWARE_VERSION" >> {said}\n')
    program.chmod(0o755)
    monkeypatch.setenv("FIRMWARE_PACKAGE", "mine")
    maker = Maker()
    for notes in (Notes((PACKAGE, 4), (HARDWARE,)), Notes(b"boot-1", (HARDWARE,)), Notes(b"\xff\n", (HARDWARE,))):
        package, installer = io.BytesIO(maker.make(notes=notes)), installers.CommandInstaller(program, tmp_path)
        rules = FirmwareRules(maker.anchors, FirmwarePolicy(HardwareModule(HARDWARE, b"\1")))
        load(package, rules, installer, None, NOW, Loading())
    names = (f"{PACKAGE}/4", "boot-1/", "ff0a/")
    assert said.read_text().splitlines() == [f"{verb} {name}" for name in names for verb in ("stage", "commit")]


@pytest.mark.slow
def test_nothing_of_a_program_that_takes_too_long_goes_on_beside_the_rollback(tmp_path: Path) -> None:
    """Else it would write over what the rollback brings back; not what left its session, either."""
    program, place, said = tmp_path / "program", tmp_path / "place", tmp_path / "said"
    place.mkdir()
    away = f"cd {place}; (setsid sleep 600; touch late) >/dev/null 2>&1 & sleep 600"
    program.write_text(f'#!/bin/sh\necho "$1" >> {said}\n[ "$1" != commit ] || {{ {away}; }}\n')
    program.chmod(0o755)
    installer = installers.CommandInstaller(program, tmp_path, limit_s=60)
    installer.begin()
    installer.stage(None)
    installer._limit_s = 1
    with pytest.raises(FirmwareError, match="commit: it took longer than 1 s, and was ended") as caught:
        installer.commit()
    assert caught.value.load_error == 99
    assert [path for path in Path("/proc").glob("[0-9]*/cwd") if _leads_to(path, place)] == []
    installer._limit_s = 60
    installer.rollback()
    assert said.read_text().split() == ["stage", "commit", "rollback"]


def _leads_to(link: Path, place: Path) -> bool:
    with suppress(OSError):
        return link.readlink() == place
    return False
