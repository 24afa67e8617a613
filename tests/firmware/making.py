"""Packages as the reference server makes them, and as nobody should."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass, field

from cryptography import x509
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.packages import signing
from device_sdk_simulators.packages.firmware import layers
from device_sdk_simulators.packages.firmware.layers import ContentKey
from device_sdk_simulators.packages.firmware.making import Encryption, make_package
from device_sdk_simulators.packages.firmware.notes import Notes
from device_sdk_simulators.packages.signing import Oddities

from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.firmware import FirmwarePackage, Unpacked, unpack_package, verify_package

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ARC = "1.3.6.1.4.1.32473"
PACKAGE, HARDWARE, COMMUNITY = f"{ARC}.7", f"{ARC}.1", f"{ARC}.9"
NOTES = Notes((PACKAGE, 4), (HARDWARE,))
IMAGE = b"\x7fELF" + bytes(range(256)) * 800


@dataclass
class Maker:
    """Somebody who signs firmware."""

    root: Authority = field(default_factory=lambda: make_authority("Firmware root", new_key("ec-p256"), NOW))
    signer: Authority = field(init=False)

    def __post_init__(self) -> None:
        self.signer = make_authority("Firmware signer", new_key("ec-p256"), NOW, self.root)

    @property
    def anchors(self) -> list[x509.Certificate]:
        return [self.root.certificate]

    def make(self, image: bytes = IMAGE, notes: Notes = NOTES, *, signed: bool = True, **options: object) -> bytes:
        out = io.BytesIO()
        chain = [self.signer.certificate]
        make_package(io.BytesIO(image), out, notes, self.signer if signed else None, certificates=chain, **options)
        return out.getvalue()

    def sign(
        self,
        content: bytes,
        kind: str,
        attributes=None,
        *,
        odd: Oddities = signing.PLAIN,
        unsigned=(),
        **options: object,
    ) -> bytes:
        """Any content with any attributes."""
        out = io.BytesIO()
        said = NOTES.attributes(None, b"key-1") if attributes is None else attributes
        chain = options.pop("certificates", [self.signer.certificate])
        signing.sign(
            io.BytesIO(content), out, kind, options.pop("signer", self.signer), said,
            certificates=chain, unsigned=unsigned, odd=odd,
        )  # fmt: skip
        return out.getvalue()


def verified(package: bytes, maker: Maker, **options: object) -> FirmwarePackage:
    return verify_package(io.BytesIO(package), anchors=maker.anchors, now=NOW, **options)


def unpacked(package: bytes, maker: Maker, *keys: object, **options: object) -> tuple[bytes, Unpacked]:
    """The firmware; `require_signed=False` for packages that nobody signed."""
    file, out = io.BytesIO(package), io.BytesIO()
    checks = {name: options.pop(name) for name in ("require_signed",) if name in options}
    found = verify_package(file, anchors=maker.anchors, now=NOW, **checks)
    result = unpack_package(file, found, out.write, keys=keys, **options)
    return out.getvalue(), result


def content_key(encryption: Encryption) -> SharedKey:
    """The device's copy of the key a package names."""
    return SharedKey(encryption.identifier, Secret(encryption.key.value))


def encryption(**options: object) -> Encryption:
    return Encryption(b"key-1", ContentKey(), **options)


def encrypted(content: bytes, kind: str, key: ContentKey, **options: object) -> bytes:
    out = io.BytesIO()
    layers.encrypt(io.BytesIO(content), out, io.BytesIO(), key, kind, **options)
    return out.getvalue()


def compressed(content: bytes) -> bytes:
    out = io.BytesIO()
    layers.compress(io.BytesIO(content), out, io.BytesIO())
    return out.getvalue()
