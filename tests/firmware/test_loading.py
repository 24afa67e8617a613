"""Installing: what is remembered, little memory, and a power cut at every step (F-10, section 13)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.packages.firmware.making import make_package
from device_sdk_simulators.packages.firmware.notes import Notes

from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load, recovered
from device_sdk.errors import FirmwareError, StateCorruptError
from device_sdk.protocols.firmware import (
    MAX_SUPERSEDED,
    FirmwareRecord,
    InstalledPackage,
    PendingPackage,
    encode_record,
    read_record,
)
from device_sdk.wire.firmware import LegacyName, LoadErrorCode
from tests.firmware.making import ARC, HARDWARE, IMAGE, NOTES, NOW, PACKAGE, Maker, encryption

MODULE = HardwareModule(HARDWARE, b"\1")
OLD = b"old firmware"

KILLED = """
import datetime, io, os, signal, sys
from cryptography import x509
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load

where, directory, when = sys.argv[1], sys.argv[2], datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)

class Installer(FileInstaller):
    def _die(self, step):
        if where == step:
            os.kill(os.getpid(), signal.SIGKILL)
    def begin(self):
        super().begin(); self._die("begin")
    def write(self, data):
        super().write(data); self._die("write")
    def stage(self, attributes):
        self._die("stage"); super().stage(attributes); self._die("staged")
    def commit(self):
        self._die("commit"); super().commit(); self._die("committed")

anchors = x509.load_pem_x509_certificates(open(directory + "/anchors.pem", "rb").read())
rules = FirmwareRules(anchors, FirmwarePolicy(HardwareModule("1.3.6.1.4.1.32473.1", b"\\1")))
with open(directory + "/package", "rb") as package:
    load(package, rules, Installer(directory + "/image"), RecordFile(directory + "/record"), when, Loading())
"""


def prepared(maker: Maker, directory: Path, package: bytes) -> None:
    (directory / "anchors.pem").write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in maker.anchors))
    (directory / "package").write_bytes(package)
    (directory / "image").write_bytes(OLD)


def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, check=False)


STEPS = {"begin": OLD, "write": OLD, "stage": OLD, "staged": OLD, "commit": OLD, "committed": IMAGE}


@pytest.mark.slow
@pytest.mark.parametrize(("step", "there"), STEPS.items(), ids=STEPS)
def test_killed_at_every_step(maker: Maker, tmp_path: Path, step: str, there: bytes) -> None:
    """The old image or the new one, never half of it; the next run finds out which, and leaves nothing lying about."""
    prepared(maker, tmp_path, maker.make(notes=Notes((PACKAGE, 4), (HARDWARE,), stale=2)))
    assert run(KILLED, step, tmp_path).returncode == -9
    assert (tmp_path / "image").read_bytes() == there
    record = RecordFile(tmp_path / "record")
    before = record.load()
    assert before.installed == ()
    assert (before.pending is not None) is (step in ("commit", "committed"))
    with record.held():
        settled = recovered(record, FileInstaller(tmp_path / "image"))
    assert bool(settled.installed) is (there == IMAGE), "what was installed is remembered, nothing else"
    assert settled.stale == ({PACKAGE: 2} if there == IMAGE else {})
    done = run(KILLED, "nowhere", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image").read_bytes() == IMAGE
    assert record.load().stale == {PACKAGE: 2}
    assert not list(tmp_path.glob(".image.*"))


FULL = """
import datetime, os, resource, signal, sys
from cryptography import x509
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load, recovered
from device_sdk.errors import StateNotWritableError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
directory, when = sys.argv[1], datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
anchors = x509.load_pem_x509_certificates(open(directory + "/anchors.pem", "rb").read())
rules = FirmwareRules(anchors, FirmwarePolicy(HardwareModule("1.3.6.1.4.1.32473.1", b"\\1")))

class Installer(FileInstaller):
    def _full(self, step):
        if where == step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
    def begin(self):
        super().begin(); self._full("write")
    def stage(self, attributes):
        super().stage(attributes); self._full("staged")
    def commit(self):
        super().commit(); self._full("committed")

for where in ("write", "staged", "committed", "nowhere"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    record = RecordFile(directory + "/record")
    try:
        with open(directory + "/package", "rb") as package:
            load(package, rules, Installer(directory + "/image"), record, when, Loading())
        error = "none"
    except StateNotWritableError as problem:
        error = type(problem).__name__
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with record.held():
        known = len(recovered(record, FileInstaller(directory + "/image")).installed)
    left = sorted(name for name in os.listdir(directory) if name.startswith((".image", ".record.")) and not name.endswith(".lock"))
    print(where, error, os.path.getsize(directory + "/image"), known, *left)
"""


@pytest.mark.slow
def test_a_full_disk_at_every_step(maker: Maker, tmp_path: Path) -> None:
    """While the firmware is written, and when the record says that it begins: a typed error, and what was there. When the
    record is to say that it is there: it is, and the next run finds that out. Nothing is left lying about."""
    prepared(maker, tmp_path, maker.make())
    done = run(FULL, tmp_path)
    assert done.stdout.splitlines() == [
        f"write StateNotWritableError {len(OLD)} 0",
        f"staged StateNotWritableError {len(OLD)} 0",
        f"committed none {len(IMAGE)} 1",
        f"nowhere none {len(IMAGE)} 1",
    ], done.stderr


MEASURED = """
import datetime, gc, hashlib, sys
from cryptography import x509
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey

def memory(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

directory, key = sys.argv[1], bytes.fromhex(sys.argv[2])
anchors = x509.load_pem_x509_certificates(open(directory + "/anchors.pem", "rb").read())
rules = FirmwareRules(anchors, FirmwarePolicy(HardwareModule("1.3.6.1.4.1.32473.1", b"\\1")), keys=(SharedKey(b"key-1", Secret(key)),))
gc.collect()
open("/proc/self/clear_refs", "w").write("5")
before, loading = memory("VmRSS"), Loading()
with open(directory + "/package", "rb") as package:
    load(package, rules, FileInstaller(directory + "/image"), None, datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC), loading)
print(memory("VmHWM") - before, loading.unpacked.size)
"""


@pytest.mark.slow
def test_64_mib_with_16_mib_of_memory(maker: Maker, tmp_path: Path) -> None:
    """Signed, encrypted, compressed: verified, decrypted, inflated and written; peak memory of the process, in KiB."""
    size, how = 64 << 20, encryption()
    with (tmp_path / "big").open("w+b") as image, (tmp_path / "made").open("w+b") as out:
        block = os.urandom(256 << 10) + bytes(256 << 10)
        for _ in range(size // len(block)):
            image.write(block)
        make_package(
            image, out, NOTES, maker.signer, compressed=True, encryption=how, certificates=[maker.signer.certificate]
        )
    prepared(maker, tmp_path, b"")
    (tmp_path / "made").rename(tmp_path / "package")
    done = run(MEASURED, tmp_path, how.key.value.hex())
    assert done.returncode == 0, done.stderr
    extra, written = map(int, done.stdout.split())
    assert written == size
    assert extra < 16 << 10


def install(package: bytes, maker: Maker, directory: Path, **policy: object) -> None:
    rules = FirmwareRules(maker.anchors, FirmwarePolicy(MODULE, **policy))
    load(
        io.BytesIO(package), rules, FileInstaller(directory / "image"), RecordFile(directory / "record"), NOW, Loading()
    )


def test_f_10_a_full_list_forgets_nothing(maker: Maker, tmp_path: Path) -> None:
    """RFC 4108 section 6.3: other packages cannot push a stale version out."""
    stale = {f"{ARC}.100.{number}": 1 for number in range(64)}
    (tmp_path / "record").write_bytes(encode_record(FirmwareRecord(stale=stale)))
    install(maker.make(), maker, tmp_path)
    with pytest.raises(FirmwareError, match="is full") as caught:
        install(maker.make(notes=Notes((f"{ARC}.8", 4), (HARDWARE,), stale=1)), maker, tmp_path)
    assert caught.value.load_error == LoadErrorCode.INSUFFICIENT_MEMORY
    assert RecordFile(tmp_path / "record").load().stale == stale


def test_f_10_legacy_names(maker: Maker, tmp_path: Path) -> None:
    install(maker.make(notes=Notes(b"boot-2", (HARDWARE,), stale=b"boot-1")), maker, tmp_path)
    with pytest.raises(FirmwareError, match="boot-1 is stale") as caught:
        install(maker.make(notes=Notes(b"boot-1", (HARDWARE,))), maker, tmp_path)
    assert caught.value.load_error == LoadErrorCode.STALE_PACKAGE
    install(maker.make(notes=Notes(b"boot-2", (HARDWARE,))), maker, tmp_path)


def named(name: str | int, oid: str = PACKAGE) -> Notes:
    return Notes(name.encode() if isinstance(name, str) else (oid, name), (HARDWARE,))


def test_f_10_what_was_replaced_by_another_name_comes_back_by_consent_only(maker: Maker, tmp_path: Path) -> None:
    """Legacy names say nothing of what is newer; a version says nothing of another object identifier. What runs does."""
    record, other = RecordFile(tmp_path / "record"), f"{ARC}.8"

    def names() -> list[str]:
        return [str(one.name) for one in record.load().installed]

    for number, notes in enumerate((named("fw-1"), named("fw-2"), named(3), named(5, other))):
        install(maker.make(b"image %d" % number, notes), maker, tmp_path)
        assert len(names()) == 1, "the others do not run any more"
    for notes in (named("fw-1"), named("fw-2"), named(3), named(2)):
        with pytest.raises(FirmwareError, match="replaced by something of another name") as caught:
            install(maker.make(b"old", notes), maker, tmp_path)
        assert caught.value.load_error == LoadErrorCode.STALE_PACKAGE
    assert (tmp_path / "image").read_bytes() == b"image 3"
    install(maker.make(b"newer", named(4)), maker, tmp_path)
    install(maker.make(b"meant", named("fw-1")), maker, tmp_path, allow_downgrade=True)
    install(maker.make(b"again", named("fw-1")), maker, tmp_path)
    assert names() == ["fw-1"]
    with pytest.raises(FirmwareError, match="replaced"):
        install(maker.make(b"again", named(4)), maker, tmp_path)


def test_f_10_what_runs_beside_it_stays(maker: Maker, tmp_path: Path) -> None:
    """Two parts in two files, one record: neither replaces the other."""
    for name, file in (("boot", "image"), ("modem", "other"), ("modem-2", "other"), ("boot", "image")):
        rules = FirmwareRules(maker.anchors, FirmwarePolicy(MODULE))
        package, record = io.BytesIO(maker.make(name.encode(), named(name))), RecordFile(tmp_path / "record")
        load(package, rules, FileInstaller(tmp_path / file), record, NOW, Loading())
    assert {str(one.name) for one in record.load().installed} == {"modem-2", "boot"}


def test_f_10_updates_by_legacy_names_do_not_fill_the_record(maker: Maker, tmp_path: Path) -> None:
    record = FirmwareRecord()
    for number in range(MAX_SUPERSEDED + 9):
        package = InstalledPackage(LegacyName(b"fw-%d" % number))
        record = record.committed(PendingPackage(package, None, b"1"))
        record = record.without(record.installed[:-1])
    assert (len(record.installed), len(record.superseded)) == (1, MAX_SUPERSEDED)
    assert not record.is_superseded(LegacyName(b"fw-1")), "the oldest is forgotten"
    assert record.is_superseded(LegacyName(b"fw-%d" % (MAX_SUPERSEDED + 7)))
    assert read_record(encode_record(record)) == record


def test_a_record_of_old_is_written_as_it_was() -> None:
    """A MAC is over it."""
    old = {"version": 1, "installed": [{"name": {"oid": PACKAGE, "version": 4}, "kind": None, "dependencies": []}]}
    content = json.dumps(old | {"stale": {}, "stale_legacy": [], "pending": None}, indent=1, sort_keys=True).encode()
    assert encode_record(read_record(content)) == content + b"\n"


class Lost(FileInstaller):
    """Half of something is there, and nothing brings back what was."""

    def commit(self) -> None:
        (Path(self.place)).write_bytes(b"half")
        raise KeyboardInterrupt


def test_neither_the_new_nor_the_old_one_runs(maker: Maker, tmp_path: Path) -> None:
    """It is told in every run, until another package is installed, which it does not keep away."""
    install(maker.make(b"one", named(1)), maker, tmp_path)
    record, rules = RecordFile(tmp_path / "record"), FirmwareRules(maker.anchors, FirmwarePolicy(MODULE))
    lost = Lost(tmp_path / "image")
    with pytest.raises(KeyboardInterrupt):
        load(io.BytesIO(maker.make(b"two", named(2))), rules, lost, record, NOW, Loading())
    for _ in range(2):
        with record.held(), pytest.raises(FirmwareError, match="nor is what was there before"):
            recovered(record, FileInstaller(tmp_path / "image"))
    install(maker.make(b"three", named(3)), maker, tmp_path)
    assert (record.is_pending, [str(one.name) for one in record.load().installed]) == (False, [f"{PACKAGE} version 3"])


def test_a_stale_number_never_goes_down(maker: Maker, tmp_path: Path) -> None:
    install(maker.make(notes=Notes((PACKAGE, 9), (HARDWARE,), stale=5)), maker, tmp_path)
    install(maker.make(notes=Notes((PACKAGE, 9), (HARDWARE,), stale=1)), maker, tmp_path)
    assert RecordFile(tmp_path / "record").load().stale == {PACKAGE: 5}


def test_types_a_module_does_not_take(maker: Maker, tmp_path: Path) -> None:
    package = maker.make(notes=Notes((PACKAGE, 1), (HARDWARE,), kind=3))
    with pytest.raises(FirmwareError) as caught:
        install(package, maker, tmp_path, kinds=(1, 2))
    assert caught.value.load_error == LoadErrorCode.UNSUPPORTED_PACKAGE_TYPE
    install(package, maker, tmp_path, kinds=(3,))


@pytest.mark.parametrize("name", [(f"{ARC}.77", 9), b"modem-9"])
def test_packages_a_module_does_not_take(maker: Maker, tmp_path: Path, name) -> None:
    """One signer signs for the modem, too: what lands in the system's file is not the server's to choose."""
    install(maker.make(), maker, tmp_path, packages=(PACKAGE,))
    with pytest.raises(FirmwareError, match="no package that is taken here") as caught:
        install(maker.make(IMAGE[1:], Notes(name, (HARDWARE,))), maker, tmp_path, packages=(PACKAGE,))
    assert caught.value.load_error == LoadErrorCode.UNSUPPORTED_PACKAGE_TYPE
    assert (tmp_path / "image").read_bytes() == IMAGE
    install(
        maker.make(IMAGE[1:], Notes((f"{ARC}.77", 9), (HARDWARE,))), maker, tmp_path, packages=(PACKAGE, f"{ARC}.77")
    )


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"version": 2}', b"\xff", b"[" * 100_000])
def test_a_record_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "record").write_bytes(content)
    with pytest.raises(StateCorruptError):
        RecordFile(tmp_path / "record").load()


def test_the_record_is_what_it_was(maker: Maker, tmp_path: Path) -> None:
    install(maker.make(notes=Notes((PACKAGE, 9), (HARDWARE,), stale=5, kind=2, dependencies=())), maker, tmp_path)
    content = (tmp_path / "record").read_bytes()
    assert encode_record(read_record(content)) == content
    assert json.loads(content)["installed"][0]["kind"] == 2
