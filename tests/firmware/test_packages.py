"""Firmware packages in every layout are verified and unpacked (RFC 4108 section 2, RFC 8295 section 6.1.2)."""

from __future__ import annotations

import hashlib
import io
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from device_sdk_simulators.ca.keys import pem
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.packages.firmware.making import COMPRESSED, ENCRYPTED, FIRMWARE
from device_sdk_simulators.packages.firmware.notes import Notes
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ

from device_sdk.errors import FirmwareError
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.firmware import LegacyName, LoadErrorCode, PreferredName
from device_sdk.wire.firmware.communities import HardwareModules, Serials
from tests.est.pki import Ca, new_key
from tests.firmware.making import (
    ARC,
    COMMUNITY,
    HARDWARE,
    IMAGE,
    NOW,
    PACKAGE,
    Maker,
    compressed,
    content_key,
    encryption,
    unpacked,
    verified,
)


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_f_03_every_layout(maker: Maker, signed: bool, secret: bool, squeezed: bool) -> None:
    """Bare, compressed, encrypted, both, with and without a signature; the last only if that is allowed (AMB-15)."""
    how = encryption() if secret else None
    package = maker.make(signed=signed, compressed=squeezed, encryption=how)
    if not signed:
        if secret:
            return  # nobody names the key: see below
        with pytest.raises(FirmwareError, match="nobody signed it") as caught:
            verified(package, maker)
        assert caught.value.load_error == LoadErrorCode.BAD_CONTENT_INFO
    image, found = unpacked(package, maker, *([content_key(how)] if how else []), require_signed=signed)
    assert image == IMAGE
    assert (found.size, found.sha256) == (len(IMAGE), hashlib.sha256(IMAGE).digest())


def test_f_03_encrypted_and_unsigned_names_no_key(maker: Maker) -> None:
    how = encryption()
    with pytest.raises(FirmwareError, match="no key of this device") as caught:
        unpacked(maker.make(signed=False, encryption=how), maker, content_key(how), require_signed=False)
    assert caught.value.load_error == LoadErrorCode.NO_DECRYPT_KEY


def test_f_07_everything_a_signer_says(maker: Maker) -> None:
    notes = Notes(
        (PACKAGE, 9),
        (HARDWARE, f"{ARC}.2"),
        stale=7,
        communities=(COMMUNITY, (HARDWARE, (None, b"\x01", (b"\x10\x00", b"\x1f\xff")))),
        kind=3,
        dependencies=((f"{ARC}.8", 2), b"boot-1"),
    )
    package = verified(maker.make(notes=notes), maker)
    said = package.attributes
    assert said is not None
    assert (said.name, said.stale, said.hardware) == (PreferredName(PACKAGE, 9), 7, (HARDWARE, f"{ARC}.2"))
    assert said.communities == (
        COMMUNITY,
        HardwareModules(HARDWARE, (Serials(), Serials(b"\x01", b"\x01"), Serials(b"\x10\x00", b"\x1f\xff"))),
    )
    assert (said.package_type, said.dependencies) == (3, (PreferredName(f"{ARC}.8", 2), LegacyName(b"boot-1")))
    assert (package.signer, package.anchor) == (maker.signer.certificate, maker.root.certificate)
    old = verified(maker.make(notes=Notes(b"boot-2", (HARDWARE,), stale=b"boot-1")), maker).attributes
    assert old is not None
    assert (old.name, old.stale) == (LegacyName(b"boot-2"), b"boot-1")


@pytest.mark.parametrize("kind", ["ec", "rsa", "shared"])
def test_f_09_the_key_comes_along_wrapped(maker: Maker, kind: str) -> None:
    """For the key of the device: EC, RSA, or one both sides were given."""
    if kind == "shared":
        own: object = SharedKey(b"kek", Secret(bytes(range(32))))
        how = encryption(shared=[Kek(b"kek", bytes(range(32)))])
    else:
        own = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        named = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
        device = Ca.root("x").certify("device", own.public_key(), extensions=[(named, False)])
        how = encryption(recipients=[device])
    package = maker.make(compressed=True, encryption=how)
    assert unpacked(package, maker, own)[0] == IMAGE
    with pytest.raises(FirmwareError) as caught:
        unpacked(package, maker, new_key())
    assert caught.value.load_error == LoadErrorCode.NO_DECRYPT_KEY


@pytest.mark.parametrize("size", [0, 1, 100, 127, 128, 255, 256, 65_535, 65_536, 300_000])
def test_amb_13_firmware_encoded_once_more(maker: Maker, size: int) -> None:
    """The signer's digest tells whether the header is part of the firmware; without one it is."""
    image = bytes(size)
    octets = b"" if size < 128 else size.to_bytes((size.bit_length() + 7) // 8, "big")
    wrapped = b"\x04" + (bytes([0x80 | len(octets)]) + octets if octets else bytes([size])) + image
    notes = Notes((PACKAGE, 1), (HARDWARE,))
    digest = hashlib.sha256(image).digest()
    assert unpacked(maker.sign(wrapped, FIRMWARE, notes.attributes(digest, None)), maker)[0] == image
    assert unpacked(maker.sign(wrapped, FIRMWARE, notes.attributes(None, None)), maker)[0] == wrapped
    assert unpacked(maker.make(wrapped), maker)[0] == wrapped
    inside = maker.sign(compressed(wrapped), COMPRESSED, notes.attributes(digest, None))
    assert unpacked(inside, maker)[0] == image


def test_ber_with_pieces_is_read(maker: Maker, tmp_path: Path) -> None:
    """What `openssl cms -stream` writes is BER: indefinite lengths, content in pieces; firmware attributes it has none."""
    (tmp_path / "image").write_bytes(IMAGE)
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    from device_sdk_simulators.ca.keys import write_key

    write_key(key, maker.signer.key)
    certificate.write_bytes(pem(maker.signer.certificate))
    out = tmp_path / "out.cms"
    subprocess.run(
        ["openssl", "cms", "-sign", "-stream", "-binary", "-nodetach", "-keyid", "-md", "sha256", "-econtent_type",
         FIRMWARE, "-signer", certificate, "-inkey", key, "-in", tmp_path / "image", "-outform", "DER", "-out", out],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with pytest.raises(
        FirmwareError, match=r"the signed attribute 1\.2\.840\.113549\.1\.9\.16\.2\.35 is missing"
    ) as caught:
        verified(out.read_bytes(), maker)
    assert caught.value.load_error == LoadErrorCode.BAD_SIGNED_ATTRS


def test_openssl_verifies_and_decrypts(maker: Maker, tmp_path: Path) -> None:
    """What the reference server makes is what openssl understands, and the SDK reads the same."""
    how = encryption()
    (tmp_path / "package").write_bytes(maker.make(compressed=True, encryption=how))
    (tmp_path / "root.pem").write_bytes(pem(maker.root.certificate))
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "package", "-CAfile",
         tmp_path / "root.pem", "-purpose", "any", "-attime", "1780300000", "-out", tmp_path / "content"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = (tmp_path / "content").read_bytes()
    kind = bytes(encode(univ.ObjectIdentifier(ENCRYPTED)))
    inner = bytes(encode(univ.OctetString(content))).replace(b"\x04", b"\xa0", 1)
    (tmp_path / "encrypted").write_bytes(bytes(encode(univ.OctetString(kind + inner))).replace(b"\x04", b"\x30", 1))
    subprocess.run(
        ["openssl", "cms", "-EncryptedData_decrypt", "-binary", "-inform", "DER", "-in", tmp_path / "encrypted",
         "-secretkey", how.key.value.hex(), "-out", tmp_path / "plain"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (tmp_path / "plain").read_bytes() == compressed(IMAGE)


def test_a_file_that_changes_between_the_passes(maker: Maker) -> None:
    from device_sdk.wire.firmware import unpack_package, verify_package

    package = maker.make()
    found = verify_package(io.BytesIO(package), anchors=maker.anchors, now=NOW)
    changed = package.replace(b"\x7fELF", b"\x7fBAD")
    with pytest.raises(FirmwareError):
        unpack_package(io.BytesIO(changed), found, io.BytesIO().write)
