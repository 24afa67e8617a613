"""Encrypted receipts as the reference server opens them (KR-08, KR-11), made by OpenSSL."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.packages.sealed_returns import opened, package_authority, returns_authority
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652

NOW = datetime.now(UTC)
SIGNED = b"\x30\x03\x02\x01\x03"
REFUSED = "not an encrypted receipt or error for this server"


def envelope(directory: Path, certificate: bytes, cipher: str = "aes-256-cbc") -> bytes:
    """Of a SignedData, as OpenSSL says if it is told so: it writes data, and the type is put in behind it."""
    (directory / "to.pem").write_bytes(certificate)
    (directory / "in").write_bytes(SIGNED)
    words = ["openssl", "cms", "-encrypt", "-binary", f"-{cipher}", "-outform", "DER", "-in", "in"]
    words += ["-recip", "to.pem", "-keyopt", "ecdh_kdf_md:sha256"]
    made = subprocess.run(words, cwd=directory, capture_output=True, check=True).stdout
    info = decode(made, asn1Spec=rfc5652.ContentInfo())[0]
    data = decode(info["content"], asn1Spec=rfc5652.EnvelopedData())[0]
    data["encryptedContentInfo"]["contentType"] = rfc5652.id_signedData
    return wrapped(data)


def wrapped(data: rfc5652.EnvelopedData) -> bytes:
    info = rfc5652.ContentInfo()
    info["contentType"], info["content"] = rfc5652.id_envelopedData, encode(data)
    return bytes(encode(info))


def test_kr_11_opened_and_refused(tmp_path: Path) -> None:
    """For another, another cipher, another content type, altered, cut off: one text for all."""
    own = returns_authority(tmp_path, NOW)
    assert returns_authority(tmp_path, NOW).certificate == own.certificate
    assert ((tmp_path / "keys-ca" / "returns.key").stat().st_mode & 0o777) == 0o600
    pem = (tmp_path / "keys-ca" / "returns.pem").read_bytes()
    good = envelope(tmp_path, pem)
    info = decode(opened(good, tmp_path, NOW), asn1Spec=rfc5652.ContentInfo())[0]
    assert (info["contentType"], bytes(info["content"])) == (rfc5652.id_signedData, SIGNED)
    other = (
        package_authority(tmp_path, NOW).signer("Another", NOW, decrypts=True).certificate.public_bytes(Encoding.PEM)
    )
    data = decode(decode(good, asn1Spec=rfc5652.ContentInfo())[0]["content"], asn1Spec=rfc5652.EnvelopedData())[0]
    data["encryptedContentInfo"]["contentType"] = rfc5652.id_data
    vector = bytes(data["encryptedContentInfo"]["contentEncryptionAlgorithm"]["parameters"])
    # it makes the padding 10 behind ten octets of 11; a changed ciphertext may come to one that is good
    altered = good.replace(vector, vector[:-1] + bytes([vector[-1] ^ 1]))
    bad = [envelope(tmp_path, other), envelope(tmp_path, pem, "aes-192-cbc"), wrapped(data), altered]
    for body in bad:
        with pytest.raises(HttpError) as caught:
            opened(body, tmp_path, NOW)
        assert (caught.value.status, str(caught.value)) == (400, REFUSED)


def test_kr_08_what_is_not_encrypted_is_as_it_came(tmp_path: Path) -> None:
    for body in (b"", b"hello", bytes.fromhex("300d06092a864886f70d010702a000")):
        assert opened(body, tmp_path, NOW) is body
