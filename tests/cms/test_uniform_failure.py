"""Whatever is wrong with a message, there is one error with one text, and nothing else comes out (CALE-10)."""

from __future__ import annotations

import base64
import random

import pytest

from device_sdk.model.keys import PrivateKey
from device_sdk.wire.cms import open_envelope
from device_sdk.wire.cms.definite import MAX_DEPTH, MAX_ELEMENTS, encode_element, make_definite
from device_sdk.wire.cms.recipients import MAX_RECIPIENTS
from tests.cms.handmade import enveloped, key_transport, pkcs1_block, rsa_block
from tests.cms.messages import Recipient, encrypt, failure_of

PLAINTEXT = b"0123456789abcdef" * 3
KINDS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "rsa-cbc": ("rsa-2048", "aes-256-cbc", (), ()),
    "oaep-gcm": ("rsa-2048", "aes-128-gcm", ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256"), ()),
    "ec-cbc": ("ec-p256", "aes-128-cbc", (), ()),
    "ec-gcm": ("ec-p384", "aes-256-gcm", ("ecdh_kdf_md:sha384",), ()),
    "ec-gcm-stream": ("ec-p256", "aes-256-gcm", (), ("-stream",)),
}
Recipients = dict[str, Recipient]


def message_of(recipients: Recipients, kind: str) -> tuple[bytes, PrivateKey]:
    name, cipher, keyopt, options = KINDS[kind]
    recipient = recipients[name]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher=cipher, keyopt=keyopt, options=options)
    return message, recipient.key


def outcome(message: bytes, key: PrivateKey) -> bytes | None:
    """The plaintext, or None after checking the failure."""
    return None if failure_of(message, key) else open_envelope(message, key)


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_at_every_octet(recipients: Recipients, kind: str) -> None:
    message, key = message_of(recipients, kind)
    assert all(failure_of(message[:length], key) for length in range(len(message)))


@pytest.mark.parametrize("form", ["PEM", "SMIME", "base64"])
def test_truncated_text(recipients: Recipients, form: str) -> None:
    recipient = recipients["ec-p256"]
    if form == "base64":
        message = base64.encodebytes(encrypt(PLAINTEXT, recipient.certificate))
    else:
        message = encrypt(PLAINTEXT, recipient.certificate, form=form)
    assert open_envelope(message, recipient.key) == PLAINTEXT
    assert all(failure_of(message[:length], recipient.key) for length in range(len(message.rstrip())))


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_in_every_octet(recipients: Recipients, kind: str) -> None:
    """Authenticated content opens unchanged or not at all; the other kind may be altered, and that is its weakness."""
    message, key = message_of(recipients, kind)
    opened = 0
    for position in range(len(message)):
        flipped = bytearray(message)
        flipped[position] ^= 1 << position % 8
        plaintext = outcome(bytes(flipped), key)
        if plaintext is not None:
            opened += 1
            assert plaintext == PLAINTEXT or "cbc" in kind
    assert opened < len(message) / 2


@pytest.mark.parametrize("kind", KINDS)
def test_mutations(recipients: Recipients, kind: str) -> None:
    """Octets replaced, removed, doubled, moved; 3,000 messages of a fixed seed."""
    message, key = message_of(recipients, kind)
    chance = random.Random(f"cms {kind}")  # noqa: S311  # a repeatable test, not a secret
    for _ in range(3000):
        plaintext = outcome(mutated(message, chance), key)
        assert plaintext is None or plaintext == PLAINTEXT or "cbc" in kind


def mutated(message: bytes, chance: random.Random) -> bytes:
    """The message with one to four random changes."""
    data = bytearray(message)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data)), chance.randint(1, 20)
        match chance.randrange(5):
            case 0:
                data[at] = chance.choice((0x00, 0x30, 0x31, 0x80, 0x84, 0xA0, 0xA1, 0xFF, chance.randrange(256)))
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at:at] = chance.randbytes(length)
            case _:
                piece = data[at : at + length]
                del data[at : at + length]
                to = chance.randrange(len(data) + 1)
                data[to:to] = piece
        if not data:
            return b""
    return bytes(data)


def test_garbage(recipients: Recipients) -> None:
    chance = random.Random("garbage")  # noqa: S311
    key = recipients["ec-p256"].key
    for length in (*range(64), 500, 5000):
        assert failure_of(chance.randbytes(length), key)
        assert failure_of(b"\x30" + chance.randbytes(length), key)
        assert failure_of(base64.b64encode(chance.randbytes(length)), key)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b" \n",
        b"\x30\x80" * 100_000,
        b"\x30\x80" * 50 + b"\x00\x00" * 50,
        b"\x24\x80" * 10_000 + b"\x00\x00" * 10_000,
        b"-----BEGIN CMS-----",
        b"-----BEGIN CMS-----\n-----END CMS-----\n",
        b"-----BEGIN CMS-----\nMAA=\n-----END PKCS7-----\n",
        b"Content-Type: text/plain",
        b"Content-Type: text/plain\n\n",
        b"<html><body>Login</body></html>",
        b"MAA=MAA=",
        b"M A",
        b"\xff" * 1000,
        b"\x30\x84\xff\xff\xff\xff" + b"\x00" * 100,
        b"\x30\x89" + b"\xff" * 100,
        b"\x3f" + b"\xff" * 100_000,
        "Schlüssel".encode("utf-16"),
    ],
    ids=lambda message: repr(message[:12]),
)
def test_what_is_no_message_at_all(recipients: Recipients, message: bytes) -> None:
    assert failure_of(message, recipients["ec-p256"].key)


def test_the_wrong_key_of_every_type(recipients: Recipients) -> None:
    for kind, (name, *_) in KINDS.items():
        message, _ = message_of(recipients, kind)
        for other, recipient in recipients.items():
            if other != name:
                assert failure_of(message, recipient.key)


def test_bounds(recipients: Recipients) -> None:
    """Depth, elements, recipients and size are bounded; just inside each bound still works."""
    recipient = recipients["rsa-2048"]
    public = recipient.key.public_key()
    content_key = bytes(32)
    one = key_transport(rsa_block(public, pkcs1_block(content_key)))  # type: ignore[arg-type]  # it is an RSA key
    strangers = [key_transport(bytes(100)) for _ in range(MAX_RECIPIENTS)]
    assert open_envelope(enveloped(content_key, PLAINTEXT, one, *strangers[1:]), recipient.key) == PLAINTEXT
    assert failure_of(enveloped(content_key, PLAINTEXT, one, *strangers), recipient.key)
    message = enveloped(content_key, PLAINTEXT, one)
    assert not failure_of(message, recipient.key, limit_bytes=len(message))
    assert failure_of(message, recipient.key, limit_bytes=len(message) - 1)


def test_depth_and_elements_are_bounded() -> None:
    def nested(depth: int) -> bytes:
        element = b"\x05\x00"
        for _ in range(depth):
            element = encode_element(0x30, element)
        return element

    assert make_definite(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="deep"):
        make_definite(nested(MAX_DEPTH + 1))
    assert make_definite(encode_element(0x30, b"\x05\x00" * (MAX_ELEMENTS - 1)))
    with pytest.raises(ValueError, match="many"):
        make_definite(encode_element(0x30, b"\x05\x00" * MAX_ELEMENTS))


@pytest.mark.parametrize(
    ("indefinite", "definite"),
    [
        ("30800000", "3000"),
        ("3080020101" + "0000", "3003020101"),
        ("3080" + "2480" + "040161" + "040162" + "0000" + "0000", "3008" + "2406" + "040161" + "040162"),
        ("3006" + "30800201010000"[:12], None),
        ("30800000" + "0000", None),
        ("3080", None),
        ("0480" + "0000", None),
        ("3003" + "0000" + "05", None),
        ("3004" + "0000" + "0500", "3004" + "0000" + "0500"),
    ],
)
def test_indefinite_lengths_become_definite(indefinite: str, definite: str | None) -> None:
    if definite is None:
        with pytest.raises(ValueError):  # noqa: PT011  # which one is nobody's business
            make_definite(bytes.fromhex(indefinite))
    else:
        assert make_definite(bytes.fromhex(indefinite)).hex() == definite
