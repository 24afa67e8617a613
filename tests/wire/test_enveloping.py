"""Envelopes for one certificate (KR-08, KR-11), judged by OpenSSL and pyasn1."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5652

from device_sdk.errors import ConfigurationError
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.envelope import open_envelope
from device_sdk.wire.cms.enveloping import envelop, require_recipient
from tests.est.pki import Ca

CONTENT = b"told to nobody else"
AES_128, AES_256 = "2.16.840.1.101.3.4.1.2", "2.16.840.1.101.3.4.1.42"


@pytest.fixture(scope="module")
def ca() -> Ca:
    return Ca.root("Returns root")


def usage(**allowed: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign"
    )
    none = dict.fromkeys((*names.split(), "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**(none | allowed))


@pytest.mark.parametrize(
    ("key", "cipher"),
    [
        (ec.generate_private_key(ec.SECP256R1()), AES_128),
        (ec.generate_private_key(ec.SECP384R1()), AES_256),
        (rsa.generate_private_key(65537, 2048), AES_128),
    ],
    ids=["p256", "p384", "rsa"],
)
def test_kr_11_others_open_it_and_write_it_the_same(ca: Ca, tmp_path: Path, key, cipher: str) -> None:
    """OpenSSL decrypts; pyasn1 re-encodes it to the same bytes; the content is in AES-CBC; our own reader opens it."""
    recipient = ca.certify("returns", key.public_key())
    made = envelop(CONTENT, oids.DATA, recipient)
    assert open_envelope(made, key) == CONTENT
    data = decode(decode(made, asn1Spec=rfc5652.ContentInfo())[0]["content"], asn1Spec=rfc5652.EnvelopedData())[0]
    assert str(data["encryptedContentInfo"]["contentEncryptionAlgorithm"]["algorithm"]) == cipher
    info = rfc5652.ContentInfo()
    info["contentType"], info["content"] = rfc5652.id_envelopedData, encode(data)
    assert encode(info) == made
    (tmp_path / "m").write_bytes(made)
    (tmp_path / "k").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "c").write_bytes(recipient.public_bytes(Encoding.PEM))
    words = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", "m", "-inkey", "k", "-recip", "c", "-binary"]
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=True).stdout == CONTENT


def test_kr_11_each_time_another_key_and_vector(ca: Ca) -> None:
    recipient = ca.certify("returns", ec.generate_private_key(ec.SECP256R1()).public_key())
    asked: list[int] = []

    def draw(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    assert envelop(CONTENT, oids.DATA, recipient) != envelop(CONTENT, oids.DATA, recipient)
    envelop(CONTENT, oids.DATA, recipient, draw)
    assert asked == [16, 16]


@pytest.mark.parametrize(
    ("key", "allowed", "reason"),
    [
        (ec.generate_private_key(ec.SECP256R1()), {"key_encipherment": True}, "no keyAgreement"),
        (rsa.generate_private_key(65537, 2048), {"digital_signature": True}, "no keyEncipherment"),
        (rsa.generate_private_key(65537, 1024), None, "not used for this"),  # noqa: S505  # refused
        (ec.generate_private_key(ec.SECP256K1()), None, "not used for this"),
        (ed25519.Ed25519PrivateKey.generate(), None, "not used for this"),
    ],
    ids=["ec-usage", "rsa-usage", "rsa-1024", "curve", "ed25519"],
)
def test_kr_08_certificates_that_are_not_for_encryption(ca: Ca, key, allowed, reason: str) -> None:
    recipient = ca.certify("returns", key.public_key(), extensions=[(usage(**allowed), True)] if allowed else [])
    with pytest.raises(ConfigurationError, match=reason):
        require_recipient(recipient)
    with pytest.raises(ConfigurationError, match=reason):
        envelop(CONTENT, oids.DATA, recipient)


def test_kr_08_certificates_for_encryption(ca: Ca) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert require_recipient(ca.certify("returns", key, extensions=[(usage(key_agreement=True), True)])) == key
