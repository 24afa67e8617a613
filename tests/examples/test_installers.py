"""examples/installers: each takes firmware by `stage` and `commit`, and after a power cut says truly which one is there.

SWUpdate is the real one, and installs; of RAUC the bundles and `rauc info` are real, while `rauc install` and `rauc status`,
which want a system bus and a loop device, are played by a recorder, as is all of opkg, which no Debian package has.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.packages.firmware.notes import Notes

from device_sdk.client.firmware import CommandInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load, recovered
from device_sdk.errors import FirmwareError
from tests.est.pki import Ca, new_key
from tests.firmware.making import HARDWARE, NOW, PACKAGE, Maker

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples" / "installers"
TOOLS = Path(sys.prefix) / "tools" / "root"

OPKG = """#!{python}
# opkg's command line as opkg 0.6 has it: options, then the sub-command, then the packages
import json, pathlib, shutil, sys
state = pathlib.Path({state!r})
with (state / "opkg.log").open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
words = [word for word in sys.argv[1:] if not word.startswith("--")]
assert words[0] == "install" and len(words) == 2, words
package = pathlib.Path(words[1])
if not package.read_bytes().startswith(b"!<arch>"):
    sys.exit(255)
if "--noaction" not in sys.argv:
    shutil.copy(package, state / "running")
"""

HALF = """#!{python}
import pathlib, sys
if "--noaction" not in sys.argv:
    pathlib.Path({state!r}, "running").write_bytes(b"half")
    sys.exit(1)
"""

RAUC = """#!{python}
# `info` is rauc's own; `install` and `status` do to two files what the service does to two slots
import json, os, pathlib, shutil, sys
state = pathlib.Path({state!r})
words = sys.argv[1:]
if words[0] == "info":
    os.execv({real!r}, [{real!r}, *words])
with (state / "rauc.log").open("a") as log:
    log.write(json.dumps(words) + "\\n")
active = state / "primary"
now = active.read_text() if active.exists() else "rootfs.0"
started = state / "booted"
booted = started.read_text() if started.exists() else "rootfs.0"
other = {{"rootfs.0": "rootfs.1", "rootfs.1": "rootfs.0"}}[booted]
if words == ["status", "--output-format=shell"]:
    print(f"RAUC_SYSTEM_COMPATIBLE='board'\\nRAUC_BOOT_PRIMARY='{{now}}'\\nRAUC_SYSTEM_SLOTS='rootfs.1 rootfs.0 '")
    print("RAUC_SLOTS='1 2 '")
    for number, slot in enumerate(("rootfs.1", "rootfs.0"), 1):
        print(f"RAUC_SLOT_STATE_{{number}}='{{'booted' if slot == booted else 'inactive'}}'")
elif words[0] == "install" and len(words) == 2:
    shutil.copy(words[1], state / other)
elif words[:2] == ["status", "mark-active"] and words[2] in ("rootfs.0", "rootfs.1"):
    active.write_text(words[2])
else:
    sys.exit(1)
"""

FORKED = """
import datetime, os, signal, sys
from cryptography import x509
from device_sdk.client.firmware import CommandInstaller, FirmwarePolicy, FirmwareRules, HardwareModule, RecordFile
from device_sdk.client.firmware.loading import Loading, load

program, directory, where = sys.argv[1:]

class Killed(CommandInstaller):
    def commit(self):
        if where == "staged":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            super().commit()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)

anchors = x509.load_pem_x509_certificates(open(directory + "/anchors.pem", "rb").read())
rules = FirmwareRules(anchors, FirmwarePolicy(HardwareModule("1.3.6.1.4.1.32473.1", b"\\1")))
when = datetime.datetime(2026, 6, 1, tzinfo=datetime.UTC)
with open(directory + "/package", "rb") as package:
    load(package, rules, Killed(program, directory), RecordFile(directory + "/record"), when, Loading())
"""


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


@pytest.fixture(scope="module")
def update_ca() -> Ca:
    """Who signs what SWUpdate and RAUC take, beside the signature of the package around it."""
    return Ca.root("Updates")


class Bench:
    """A device's two copies in a directory, and the update program on its path."""

    def __init__(self, directory: Path, ca: Ca, patch: pytest.MonkeyPatch) -> None:
        self.directory, self.ca, self.patch = directory, ca, patch
        self.state = directory / "state"
        self.bin = directory / "bin"
        self.state.mkdir()
        self.bin.mkdir()
        libraries = ":".join(map(str, (*TOOLS.glob("usr/lib/*-linux-gnu"), *TOOLS.glob("lib/*-linux-gnu"))))
        patch.setenv("PATH", f"{self.bin}:{TOOLS / 'usr' / 'bin'}:{os.environ['PATH']}")
        patch.setenv("LD_LIBRARY_PATH", libraries)
        patch.setenv("FIRMWARE_STATE", str(self.state))
        patch.setenv("FIRMWARE_RUN", str(directory / "run"))
        patch.setenv("TMPDIR", str(directory))

    def script(self, name: str, text: str, **values: str) -> None:
        path = self.bin / name
        path.write_text(text.format(python=sys.executable, state=str(self.state), **values))
        path.chmod(0o755)

    def signer(self) -> tuple[Path, Path]:
        key = new_key()
        certificate = self.ca.certify("release signer", key.public_key())
        paths = self.directory / "signer.pem", self.directory / "signer.key"
        paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
        paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        (self.directory / "ca.pem").write_bytes(self.ca.certificate.public_bytes(Encoding.PEM))
        return paths


def run(*words: object, **options: object) -> bytes:
    done = subprocess.run(list(map(str, words)), capture_output=True, check=False, timeout=60, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return bytes(done.stdout)


class PlainFile:
    """A link to one of two files."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def make(self, number: int) -> bytes:
        return f"image {number}".encode() * 1000

    def running(self) -> bytes:
        """What the next start brings."""
        return (self.bench.state / "current").read_bytes()

    def restart(self) -> None:
        shutil.rmtree(self.bench.directory / "run", ignore_errors=True)

    def shows(self, number: int) -> bytes:
        return self.make(number)


DONE = b"done"


class SwUpdate(PlainFile):
    """An .swu, signed, with one image for the copy that is selected."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.certificate, self.key = bench.signer()
        (bench.directory / "swupdate.cfg").write_text("globals: { verbose = false; };\n")
        words = f"-f {bench.directory}/swupdate.cfg -k {bench.directory}/ca.pem -H board:1.0"
        bench.patch.setenv("SWUPDATE_OPTIONS", words)

    def make(self, number: int) -> bytes:
        image = self.shows(number)
        copies = " ".join(f"copy-{name}: {{ {self._images(name, image)} }};" for name in "ab")
        text = f'software = {{ version = "{number}.0.0"; hardware-compatibility: [ "1.0" ]; stable: {{ {copies} }}; }}'
        described = self.bench.directory / "sw-description"
        described.write_text(text)
        signature = run(
            "openssl", "cms", "-sign", "-in", described, "-signer", self.certificate, "-inkey", self.key,
            "-outform", "DER", "-nosmimecap", "-binary",
        )  # fmt: skip
        return cpio(
            ("sw-description", text.encode()), ("sw-description.sig", signature), ("image", image), ("done", DONE)
        )

    def _images(self, name: str, image: bytes) -> str:
        """The system first, and last what says that it is there."""
        parts = (("image", f"copy-{name}.img", image), ("done", f"copy-{name}.done", DONE))
        described = (
            f'{{ filename = "{file}"; type = "rawfile"; path = "{self.bench.state}/{path}"; '
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"; }}'
            for file, path, content in parts
        )
        return f"images: ( {', '.join(described)} );"

    def running(self) -> bytes:
        copy = (self.bench.state / "boot-copy").read_text().strip()
        return (self.bench.state / f"copy-{copy}.img").read_bytes()

    def shows(self, number: int) -> bytes:
        return f"system {number}".encode() * 100


def cpio(*files: tuple[str, bytes]) -> bytes:
    """The new ASCII format with checksums, which is what SWUpdate reads."""
    out = io.BytesIO()
    for name, data in (*files, ("TRAILER!!!", b"")):
        named = name.encode() + b"\0"
        numbers = (1, 0o100644, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(named), sum(data) & 0xFFFFFFFF)
        out.write(b"070702" + b"".join(b"%08x" % number for number in numbers) + named)
        out.write(bytes(-out.tell() % 4) + data)
        out.write(bytes(-out.tell() % 4))
    return out.getvalue()


class Rauc(PlainFile):
    """A bundle."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        self.certificate, self.key = bench.signer()
        bench.patch.setenv("RAUC_KEYRING", f"{bench.directory}/ca.pem")
        bench.script("rauc", RAUC, real=str(TOOLS / "usr" / "bin" / "rauc"))
        self._made: dict[int, bytes] = {}

    def make(self, number: int) -> bytes:
        if number not in self._made:
            content, bundle = self.bench.directory / f"content-{number}", self.bench.directory / f"{number}.raucb"
            content.mkdir()
            (content / "rootfs.img").write_bytes(f"system {number}".encode() * 1000)
            manifest = f"[update]\ncompatible=board\nversion={number}\n[bundle]\nformat=plain\n"
            (content / "manifest.raucm").write_text(f"{manifest}[image.rootfs]\nfilename=rootfs.img\n")
            real = TOOLS / "usr" / "bin" / "rauc"
            run(real, "bundle", f"--cert={self.certificate}", f"--key={self.key}", content, bundle)
            self._made[number] = bundle.read_bytes()
        return self._made[number]

    def running(self) -> bytes:
        return (self.bench.state / (self.bench.state / "primary").read_text()).read_bytes()

    def restart(self) -> None:
        shutil.copy(self.bench.state / "primary", self.bench.state / "booted")


class Opkg(PlainFile):
    """An .ipk."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        bench.script("opkg", OPKG)

    def make(self, number: int) -> bytes:
        parts = (("debian-binary", b"2.0\n"), ("control.tar.gz", b"Package: system"), ("data.tar.gz", b"%d" % number))
        members = [
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data for name, data in parts
        ]
        return b"!<arch>\n" + b"".join(member + bytes(len(member) % 2) for member in members)

    def running(self) -> bytes:
        return (self.bench.state / "running").read_bytes()


KINDS = {"plain-file": PlainFile, "swupdate": SwUpdate, "rauc": Rauc, "opkg": Opkg}


@pytest.fixture
def bench(tmp_path: Path, update_ca: Ca, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, update_ca, monkeypatch)


def package(maker: Maker, image: bytes, number: int) -> bytes:
    return maker.make(image, Notes((PACKAGE, number), (HARDWARE,)))


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
