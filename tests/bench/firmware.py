"""A firmware package verified, decrypted, inflated and written to a file, beside `openssl cms` doing the same to the same."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.packages.firmware.layers import ContentKey
from device_sdk_simulators.packages.firmware.making import Encryption, make_package
from device_sdk_simulators.packages.firmware.notes import Notes
from measure import processes

MIB = (1, 16, 256)
HARDWARE = "1.3.6.1.4.1.32473.1"
_RUNS = 3

SDK = """
import datetime, sys
from cryptography import x509
from device_sdk.client.firmware import FileInstaller, FirmwarePolicy, FirmwareRules, HardwareModule
from device_sdk.client.firmware.loading import Loading, load
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
directory, key = sys.argv[1], bytes.fromhex(sys.argv[2])
anchors = x509.load_pem_x509_certificates(open(directory + "/anchors.pem", "rb").read())
policy = FirmwarePolicy(HardwareModule("1.3.6.1.4.1.32473.1"))
rules = FirmwareRules(anchors, policy, keys=(SharedKey(b"key", Secret(key)),))
if sys.argv[3] == "work":
    with open(directory + "/package", "rb") as package:
        load(package, rules, FileInstaller(directory + "/image"), None, datetime.datetime.now(datetime.UTC), Loading())
"""


@dataclass(frozen=True)
class Row:
    """One size and form: seconds and peak memory of whole processes; of the SDK, also without the work."""

    mib: int
    form: str
    seconds: float
    peak_mib: float
    idle_mib: float
    openssl_seconds: float
    openssl_peak_mib: float


def measure(directory: Path) -> Iterator[Row]:
    """Compressed and encrypted, where openssl verifies and decrypts and has no zlib; and encrypted only."""
    now = dt.datetime.now(dt.UTC)
    root = make_authority("Firmware root", new_key("ec-p256"), now)
    signer = make_authority("Firmware signer", new_key("ec-p256"), now, root)
    (directory / "anchors.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    for mib in MIB:
        for form in ("encrypted", "compressed, encrypted"):
            key = _package(directory, signer, mib, compressed="," in form)
            sdk = [sys.executable, "-c", SDK, str(directory), key.value.hex()]
            seconds, peak = _best([*sdk, "work"])
            _, idle = _best([*sdk, "idle"])
            verified = _best(_verify(directory))
            decrypted = _best(_decrypt(directory, key))
            yield Row(mib, form, seconds, peak, idle, verified[0] + decrypted[0], max(verified[1], decrypted[1]))


def _package(directory: Path, signer: Authority, mib: int, *, compressed: bool) -> ContentKey:
    key, block = ContentKey(), os.urandom(512 << 10) + bytes(512 << 10)
    with (directory / "raw").open("w+b") as raw, (directory / "package").open("wb") as out:
        for _ in range(mib):
            raw.write(block)
        notes = Notes(("1.3.6.1.4.1.32473.7", 1), (HARDWARE,))
        how = Encryption(b"key", key)
        make_package(raw, out, notes, signer, compressed=compressed, encryption=how, certificates=[signer.certificate])
    return key


def _verify(directory: Path) -> list[str]:
    files = ["-in", f"{directory}/package", "-CAfile", f"{directory}/anchors.pem", "-out", f"{directory}/content"]
    return ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-purpose", "any", *files]


def _decrypt(directory: Path, key: ContentKey) -> list[str]:
    """EncryptedData has to be put into a ContentInfo first, which is not measured."""
    content = (directory / "content").read_bytes()
    kind = bytes.fromhex("06092a864886f70d010706")
    inner = b"\xa0\x84" + len(content).to_bytes(4, "big") + content
    whole = b"\x30\x84" + (len(kind) + len(inner)).to_bytes(4, "big") + kind + inner
    (directory / "encrypted").write_bytes(whole)
    files = ["-in", f"{directory}/encrypted", "-out", f"{directory}/plain", "-secretkey", key.value.hex()]
    return ["openssl", "cms", "-EncryptedData_decrypt", "-binary", "-inform", "DER", *files]


def _best(words: list[str]) -> tuple[float, float]:
    """Seconds of the median run, and peak MiB."""
    figure = processes([words], _RUNS)
    return figure.wall_ms / 1000, figure.peak_mib
