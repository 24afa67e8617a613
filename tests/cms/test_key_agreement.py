"""ECDH recipients that openssl does not write: with user keying material, several keys, and points that are none."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc5753

from device_sdk.wire.cms import open_envelope
from device_sdk.wire.cms.key_agreement import _read_scheme
from tests.cms.handmade import enveloped
from tests.cms.messages import failure_of

PLAINTEXT = b"agreed"
CONTENT_KEY = bytes(range(32))
AES_256_WRAP = "2.16.840.1.101.3.4.1.45"
STD_SHA256 = "1.3.132.1.11.1"


def key_agreement(
    public_key: ec.EllipticCurvePublicKey,
    *,
    ukm: bytes | None = None,
    strangers: int = 0,
    point: bytes | None = None,
    compressed: bool = False,
    scheme: str = STD_SHA256,
    wrap: str = AES_256_WRAP,
) -> univ.Any:
    """A RecipientInfo with one recipientEncryptedKey for us behind those of strangers."""
    ephemeral = ec.generate_private_key(public_key.curve)
    form = PublicFormat.CompressedPoint if compressed else PublicFormat.UncompressedPoint
    shared_info = rfc5753.ECC_CMS_SharedInfo()
    shared_info["keyInfo"]["algorithm"] = univ.ObjectIdentifier(wrap)
    if ukm is not None:
        shared_info["entityUInfo"] = ukm
    shared_info["suppPubInfo"] = (256).to_bytes(4, "big")
    wrapping = X963KDF(hashes.SHA256(), 32, encode(shared_info)).derive(ephemeral.exchange(ec.ECDH(), public_key))
    info = rfc5652.RecipientInfo()
    agreement = info["kari"]
    agreement["version"] = 3
    originator = agreement["originator"]["originatorKey"]
    originator["algorithm"]["algorithm"] = rfc5753.id_ecPublicKey
    sent = ephemeral.public_key().public_bytes(Encoding.X962, form) if point is None else point
    originator["publicKey"] = univ.BitString.fromOctetString(sent)
    if ukm is not None:
        agreement["ukm"] = ukm
    agreement["keyEncryptionAlgorithm"]["algorithm"] = univ.ObjectIdentifier(scheme)
    agreement["keyEncryptionAlgorithm"]["parameters"] = encode(shared_info["keyInfo"])
    wrapped = [os.urandom(40) for _ in range(strangers)] + [aes_key_wrap(wrapping, CONTENT_KEY)]
    for number, one in enumerate(wrapped):
        entry = agreement["recipientEncryptedKeys"][number]
        entry["rid"]["rKeyId"]["subjectKeyIdentifier"] = bytes(20)
        entry["encryptedKey"] = one
    return info


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("ukm", [None, b"", b"once", bytes(200)])
def test_rfc_5753_user_keying_material(key: ec.EllipticCurvePrivateKey, ukm: bytes | None) -> None:
    recipient = key_agreement(key.public_key(), ukm=ukm)
    assert open_envelope(enveloped(CONTENT_KEY, PLAINTEXT, recipient), key) == PLAINTEXT


def test_every_encrypted_key_is_tried(key: ec.EllipticCurvePrivateKey) -> None:
    recipient = key_agreement(key.public_key(), strangers=20)
    assert open_envelope(enveloped(CONTENT_KEY, PLAINTEXT, recipient), key) == PLAINTEXT
    assert failure_of(enveloped(CONTENT_KEY, PLAINTEXT, key_agreement(key.public_key(), strangers=100)), key)


def test_compressed_points(key: ec.EllipticCurvePrivateKey) -> None:
    recipient = key_agreement(key.public_key(), compressed=True)
    assert open_envelope(enveloped(CONTENT_KEY, PLAINTEXT, recipient), key) == PLAINTEXT


def test_points_that_are_none_never_reach_the_key(key: ec.EllipticCurvePrivateKey) -> None:
    """Points off the curve would give the private key away bit by bit (invalid curve attack)."""
    good = ec.generate_private_key(ec.SECP256R1()).public_key()
    encoded = good.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    other_curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    points = [
        b"",
        b"\x00",
        b"\x04" + bytes(64),
        encoded[:-1] + bytes([encoded[-1] ^ 1]),
        encoded[:-1],
        encoded + b"\x00",
        other_curve.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    ]
    for point in points:
        recipient = key_agreement(key.public_key(), point=point)
        assert failure_of(enveloped(CONTENT_KEY, PLAINTEXT, recipient), key)


@pytest.mark.parametrize(
    ("scheme", "wrap"),
    [
        ("1.3.133.16.840.63.0.16", AES_256_WRAP),  # mqvSinglePass-sha1kdf
        ("1.2.840.113549.1.9.16.3.5", AES_256_WRAP),  # id-alg-ESDH
        (STD_SHA256, "1.2.840.113549.1.9.16.3.6"),  # 3DES wrap
        (STD_SHA256, "2.16.840.1.101.3.4.1.48"),  # AES-256 wrap with padding
    ],
)
def test_other_algorithms_are_refused(key: ec.EllipticCurvePrivateKey, scheme: str, wrap: str) -> None:
    recipient = key_agreement(key.public_key(), scheme=scheme, wrap=wrap)
    assert failure_of(enveloped(CONTENT_KEY, PLAINTEXT, recipient), key)


def test_an_algorithm_that_is_kept_is_a_short_one(key: ec.EllipticCurvePrivateKey) -> None:
    """Messages are of anybody: megabytes behind an algorithm must not stay, and one that is kept serves for its bytes alone."""
    _read_scheme.cache_clear()
    for wrap in (AES_256_WRAP, "2.16.840.1.101.3.4.1.5", AES_256_WRAP):
        message = enveloped(CONTENT_KEY, PLAINTEXT, key_agreement(key.public_key(), wrap=wrap))
        # the wrap of 128 bits gets a key of 256 here, so it does not open, whatever was kept of the other one
        assert bool(failure_of(message, key)) is (wrap != AES_256_WRAP)
    assert _read_scheme.cache_info().currsize == 2
    recipient = key_agreement(key.public_key())
    inner = bytes(recipient["kari"]["keyEncryptionAlgorithm"]["parameters"])
    recipient["kari"]["keyEncryptionAlgorithm"]["parameters"] = (
        inner[:1] + bytes([len(inner) + 48]) + inner[2:] + b"\x04\x30" + bytes(48)
    )
    failure_of(enveloped(CONTENT_KEY, PLAINTEXT, recipient), key)
    assert _read_scheme.cache_info().currsize == 2
