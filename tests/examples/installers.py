"""The programs of examples/installers at a bench: what each updates, and what is there after a power cut."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.packages.firmware.notes import Notes

from tests.est.pki import Ca, new_key
from tests.firmware.making import HARDWARE, PACKAGE, Maker

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


def package(maker: Maker, image: bytes, number: int) -> bytes:
    return maker.make(image, Notes((PACKAGE, number), (HARDWARE,)))
