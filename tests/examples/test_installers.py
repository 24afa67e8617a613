"""examples/installers: each takes firmware by `stage` and `commit`, and after a power cut says truly which one is there.

SWUpdate is the real one, and installs; of RAUC the bundles and `rauc info` are real, while `rauc install` and `rauc status`,
which want a system bus and a loop device, are played by a recorder, as is all of opkg, which no Debian package has.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.firmware import CommandInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load, recovered
from device_sdk.errors import FirmwareError
from tests.est.pki import Ca
from tests.examples.installers import EXAMPLES, FORKED, HALF, KINDS, OPKG, Bench, Opkg, PlainFile, package
from tests.firmware.making import HARDWARE, NOW, Maker

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture(scope="module")
def update_ca() -> Ca:
    """Who signs what SWUpdate and RAUC take, beside the signature of the package around it."""
    return Ca.root("Updates")


@pytest.fixture
def bench(tmp_path: Path, update_ca: Ca, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, update_ca, monkeypatch)


@pytest.mark.parametrize("name", KINDS)
def test_every_example(name: str, bench: Bench, maker: Maker) -> None:
    """Installed; killed before `commit` and after it; refused: the record always says what the device runs (section 13)."""
    kind, program = KINDS[name](bench), EXAMPLES / name
    record = RecordFile(bench.directory / "record")
    rules = FirmwareRules(maker.anchors, FirmwarePolicy(HardwareModule(HARDWARE, b"\1")))

    def installer() -> CommandInstaller:
        return CommandInstaller(program, bench.directory)

    def install(image: bytes, number: int) -> None:
        load(io.BytesIO(package(maker, image, number)), rules, installer(), record, NOW, Loading())

    def version() -> int:
        with record.held():
            (one,) = recovered(record, installer()).installed
        return int(one.name.version)  # type: ignore[union-attr]

    def killed(number: int, where: str) -> None:
        anchors = b"".join(one.public_bytes(Encoding.PEM) for one in maker.anchors)
        (bench.directory / "anchors.pem").write_bytes(anchors)
        (bench.directory / "package").write_bytes(package(maker, kind.make(number), number))
        words = [sys.executable, "-c", FORKED, program, bench.directory, where]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == -9, done.stderr

    install(kind.make(1), 1)
    kind.restart()
    assert (kind.running(), version()) == (kind.shows(1), 1)
    killed(2, "staged")
    assert (version(), kind.running()) == (1, kind.shows(1))
    killed(3, "committed")
    assert (version(), kind.running()) == (3, kind.shows(3))
    kind.restart()
    if name == "plain-file":
        free = bench.state / ("b" if (bench.state / "current").readlink() == Path("a") else "a")
        free.unlink()
        free.symlink_to(bench.state / "nowhere" / "x")
    with pytest.raises(FirmwareError) as caught:
        install(b"rubbish", 4)
    assert caught.value.load_error == (33 if name == "plain-file" else 99)
    assert (version(), kind.running()) == (3, kind.shows(3))
    assert not list(bench.directory.glob("device-sdk-firmware-*")), "what the killed ones left is swept"


@pytest.mark.parametrize("name", ["plain-file", "swupdate", "rauc"])
def test_two_updates_without_a_restart(name: str, bench: Bench) -> None:
    """Of two copies one runs and the other one is to: nothing is installed over either, nor removed with what was refused."""
    kind = KINDS[name](bench)

    def install(number: int) -> None:
        installer = CommandInstaller(EXAMPLES / name, bench.directory)
        installer.begin()
        installer.write(kind.make(number))
        try:
            installer.stage(None)
            installer.commit()
        finally:
            installer.rollback()

    for number in (1, 2):
        assert CommandInstaller(EXAMPLES / name, bench.directory).is_ready()
        install(number)
        assert kind.running() == kind.shows(number)
        assert not CommandInstaller(EXAMPLES / name, bench.directory).is_ready()
        before = {path: path.read_bytes() for path in bench.state.iterdir() if path.suffix != ".log"}
        with pytest.raises(FirmwareError) as caught:
            install(9)
        assert (caught.value.load_error, caught.value.vendor_error) == (99, os.EX_UNAVAILABLE)
        assert before == {path: path.read_bytes() for path in bench.state.iterdir() if path.suffix != ".log"}
        kind.restart()
    install(3)
    assert kind.running() == kind.shows(3)


def cut_while_unpacking(bench: Bench, maker: Maker, number: int) -> None:
    """The power fails in `commit` of a package."""
    anchors = b"".join(one.public_bytes(Encoding.PEM) for one in maker.anchors)
    (bench.directory / "anchors.pem").write_bytes(anchors)
    (bench.directory / "package").write_bytes(package(maker, Opkg(bench).make(number), number))
    bench.script("opkg", HALF)
    words = [sys.executable, "-c", FORKED, EXAMPLES / "opkg", bench.directory, "committed"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -9, done.stderr
    assert (bench.state / "running").read_bytes() == b"half"


@pytest.mark.parametrize("first", [True, False])
def test_opkg_after_a_power_cut_while_it_unpacks(bench: Bench, maker: Maker, first: bool) -> None:
    """Half of each is there: what was there before is put back, also if nothing new is on offer; the record says so.

    Of what the device came with there is nothing to put back: every run says so, until there is another package.
    """
    kind, program = Opkg(bench), EXAMPLES / "opkg"
    record, installer = RecordFile(bench.directory / "record"), CommandInstaller(program, bench.directory)
    rules = FirmwareRules(maker.anchors, FirmwarePolicy(HardwareModule(HARDWARE, b"\1")))

    def install(number: int) -> None:
        load(io.BytesIO(package(maker, kind.make(number), number)), rules, installer, record, NOW, Loading())

    if not first:
        install(1)
    cut_while_unpacking(bench, maker, 2)
    with record.held(), pytest.raises(FirmwareError, match="rollback ended with"):
        recovered(record, installer)
    assert record.is_pending, "the next run tries again"
    bench.script("opkg", OPKG)
    if first:
        with record.held(), pytest.raises(FirmwareError, match="rollback ended with"):
            recovered(record, installer)
        cut_while_unpacking(bench, maker, 3)
        bench.script("opkg", OPKG)
        with record.held(), pytest.raises(FirmwareError, match="rollback ended with"):
            recovered(record, installer)
        install(4)
    with record.held():
        (one,) = recovered(record, installer).installed
    number = 4 if first else 1
    assert (one.name.version, kind.running(), record.is_pending) == (number, kind.shows(number), False)  # type: ignore[union-attr]


def test_plain_file_after_a_power_cut_inside_commit(bench: Bench) -> None:
    """Between the link and its renaming: the next commit finds a link that is there already."""
    installer, kind = CommandInstaller(EXAMPLES / "plain-file", bench.directory), PlainFile(bench)
    for number in (1, 2):
        (bench.state / ".next").symlink_to("b")
        installer.begin()
        installer.write(kind.make(number))
        installer.stage(None)
        installer.commit()
        assert kind.running() == kind.shows(number)
        kind.restart()


def test_no_installer_is_without_a_test() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == set(KINDS)


def test_what_the_recorders_were_told(bench: Bench, maker: Maker) -> None:
    """The command lines, to the word: RAUC's and opkg's own manuals are what they have to agree with."""
    for name in ("rauc", "opkg"):
        kind = KINDS[name](bench)
        installer = CommandInstaller(EXAMPLES / name, bench.directory)
        installer.begin()
        installer.write(kind.make(1))
        installer.stage(None)
        installer.commit()
    told = {
        name: [json.loads(line) for line in (bench.state / f"{name}.log").read_text().splitlines()]
        for name in ("rauc", "opkg")
    }
    shell = ["status", "--output-format=shell"]
    told["rauc"] = [words for words in told["rauc"] if words != shell]
    assert [words if words[0] != "install" else words[:1] for words in told["rauc"]] == [
        ["install"], ["status", "mark-active", "rootfs.1"]
    ]  # fmt: skip
    assert told["opkg"] == [
        ["--noaction", "install", "next.ipk"],
        ["--force-reinstall", "--force-downgrade", "install", "next.ipk"],
    ]


def test_swupdate_after_the_bootloader_went_back(bench: Bench) -> None:
    """The new copy does not start: what runs is the old one, which is not written into."""
    line = bench.directory / "cmdline"
    bench.patch.setenv("KERNEL_COMMAND_LINE", str(line))
    for name, said in (("b", "console=ttyS0 copy=a quiet\n"), ("a", "copy=b\n")):
        (bench.state / "boot-copy").write_text(name)
        line.write_text(said)
        assert not CommandInstaller(EXAMPLES / "swupdate", bench.directory).is_ready()
    line.write_text("copy=a\n")
    assert CommandInstaller(EXAMPLES / "swupdate", bench.directory).is_ready()


def test_opkg_that_was_done_is_not_undone(bench: Bench) -> None:
    """A power cut at the very end of `commit` leaves the package before: a later one that is refused does not bring it back."""
    kind = Opkg(bench)
    for number in (1, 2):
        installer = CommandInstaller(EXAMPLES / "opkg", bench.directory)
        installer.begin()
        installer.write(kind.make(number))
        installer.stage(None)
        installer.commit()
    (bench.state / "before.ipk").write_bytes(kind.make(1))
    installer = CommandInstaller(EXAMPLES / "opkg", bench.directory)
    installer.begin()
    installer.write(b"rubbish")
    with pytest.raises(FirmwareError):
        installer.stage(None)
    installer.rollback()
    assert kind.running() == kind.shows(2)
    assert installer.is_active(hashlib.sha256(kind.make(2)).digest())


def test_rauc_while_its_service_does_not_answer(bench: Bench) -> None:
    """Nobody knows then which slot counts: that is no "no", which would take back what was installed."""
    installer = CommandInstaller(EXAMPLES / "rauc", bench.directory)
    for said in ("exit 1", "echo \"RAUC_BOOT_PRIMARY='(null)'\""):
        bench.script("rauc", f"#!/bin/sh\n{said}\n")
        with pytest.raises(FirmwareError, match="cannot say now"):
            installer.is_active(bytes(32))
