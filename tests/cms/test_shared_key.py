"""Messages for a key both sides were given: KEKRecipientInfo (RFC 5652 section 6.2.3, EST-196)."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.errors import ConfigurationError, EnvelopeError
from device_sdk.model.secret import Secret
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.cms import open_envelope
from tests.cms.messages import Recipient, run_openssl

PLAINTEXT = b"a key package\n"
IDENTIFIER = b"\x00bench-7"


def encrypt(key: bytes, *options: object, identifier: bytes = IDENTIFIER, cipher: str = "aes-256-cbc") -> bytes:
    words = ("cms", "-encrypt", "-binary", "-outform", "DER", f"-{cipher}")
    return run_openssl(*words, "-secretkey", key.hex(), "-secretkeyid", identifier.hex(), *options, data=PLAINTEXT)


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm"])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_est_196_a_shared_key_opens_what_openssl_made(size: int, cipher: str) -> None:
    shared = SharedKey(IDENTIFIER, Secret(bytes(range(size))))
    for options in ((), ("-stream",)):
        assert open_envelope(encrypt(bytes(range(size)), *options, cipher=cipher), shared) == PLAINTEXT


def test_one_recipient_of_several(recipients: dict[str, Recipient]) -> None:
    """A shared key and a certificate in one message; each opens it, alone or among others."""
    key = bytes(range(16))
    shared, other = SharedKey(IDENTIFIER, Secret(key)), SharedKey(b"other", Secret(key))
    message = encrypt(key, recipients["ec-p256"].certificate)
    assert open_envelope(message, shared) == PLAINTEXT
    assert open_envelope(message, recipients["ec-p256"].key) == PLAINTEXT
    assert open_envelope(message, [other, ec.generate_private_key(ec.SECP256R1()), shared]) == PLAINTEXT


@pytest.mark.parametrize(
    "wrong",
    [
        SharedKey(IDENTIFIER, Secret(bytes(16))),
        SharedKey(b"another name", Secret(bytes(range(16)))),
        SharedKey(IDENTIFIER, Secret(bytes(range(32)))),
    ],
    ids=["another key", "another identifier", "another length"],
)
def test_what_does_not_open(wrong: SharedKey) -> None:
    with pytest.raises(EnvelopeError) as caught:
        open_envelope(encrypt(bytes(range(16))), wrong)
    assert caught.value.__cause__ is None


def test_a_content_key_of_another_length_does_not_open() -> None:
    """The wrapped key has to be one of the content's cipher."""
    message = encrypt(bytes(range(16)), cipher="aes-128-cbc")
    patched = message.replace(bytes.fromhex("060960864801650304010204"), bytes.fromhex("060960864801650304012a04"))
    assert patched != message
    with pytest.raises(EnvelopeError):
        open_envelope(patched, SharedKey(IDENTIFIER, Secret(bytes(range(16)))))


def test_the_type_inside_is_looked_at() -> None:
    """By default only data; a protocol that expects something else says so."""
    key = bytes(range(16))
    data, signed_data = bytes.fromhex("06092a864886f70d010701"), bytes.fromhex("06092a864886f70d010702")
    message = encrypt(key).replace(data, signed_data)
    shared = SharedKey(IDENTIFIER, Secret(key))
    with pytest.raises(EnvelopeError):
        open_envelope(message, shared)
    assert open_envelope(message, shared, content_types=("1.2.840.113549.1.7.2",)) == PLAINTEXT


@pytest.mark.parametrize(("identifier", "size"), [(b"", 16), (b"x" * 65, 16), (b"x", 15), (b"x", 0), (b"x", 33)])
def test_shared_keys_that_cannot_be(identifier: bytes, size: int) -> None:
    with pytest.raises(ConfigurationError):
        SharedKey(identifier, Secret(bytes(size)))


def test_a_shared_key_does_not_show_itself() -> None:
    assert "aa" * 16 not in repr(SharedKey(b"x", Secret(b"\xaa" * 16)))
