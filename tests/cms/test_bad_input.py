"""Everything that can be wrong with a message, in one table: one error, no more time and memory than its size allows."""

from __future__ import annotations

import base64
import io
import time
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from device_sdk.errors import EnvelopeError
from device_sdk.model.keys import PrivateKey
from device_sdk.wire.cms import open_envelope, open_stream
from device_sdk.wire.cms.definite import MAX_DEPTH, encode_element, read_header
from tests.cms.handmade import (
    RememberingRsaKey,
    ccm_enveloped,
    chacha_enveloped,
    key_transport,
    pkcs1_block,
    rsa_block,
)
from tests.cms.messages import Recipient, encrypt, failure_of, place_of_content

PLAINTEXT = b"0123456789abcdef" * 3
CONTENT_KEY = bytes(range(32))
OAEP = ("rsa_padding_mode:oaep", "rsa_oaep_md:sha256")
KINDS = ["rsa-cbc", "oaep-gcm", "ec-cbc", "ec-gcm", "ec-gcm-stream", "ccm", "chacha"]
Message = tuple[bytes, PrivateKey]

_OCTET_STRINGS = (0x04, 0x80)


@pytest.fixture(params=KINDS)
def message(request: pytest.FixtureRequest, recipients: dict[str, Recipient]) -> Message:
    """A good message of each kind, and its key."""
    if request.param in ("ccm", "chacha"):
        key = recipients["rsa-2048"].key
        assert isinstance(key, rsa.RSAPrivateKey)
        block = key_transport(rsa_block(key.public_key(), pkcs1_block(CONTENT_KEY)))
        return (ccm_enveloped if request.param == "ccm" else chacha_enveloped)(CONTENT_KEY, PLAINTEXT, block), key
    kind, mode, *stream = request.param.split("-")
    recipient = recipients["ec-p256" if kind == "ec" else "rsa-2048"]
    options = ("-stream",) if stream else ()
    keyopt = OAEP if kind == "oaep" else ()
    return encrypt(
        PLAINTEXT, recipient.certificate, cipher=f"aes-256-{mode}", keyopt=keyopt, options=options
    ), recipient.key


def remembering(key: PrivateKey) -> PrivateKey:
    """For thousands of messages, most of which have the same RSA block: `sampled` asks the key itself each time."""
    return RememberingRsaKey(key) if isinstance(key, rsa.RSAPrivateKey) else key


def streamed(data: bytes, key: PrivateKey) -> bytes | None:
    """What comes out of the reader for large messages."""
    try:
        return b"".join(open_stream([data], key, io.BytesIO(), limit_bytes=1 << 24))
    except EnvelopeError:
        return None


def whole(data: bytes, key: PrivateKey) -> bytes | None:
    """What comes out of the other one, its error looked at closely."""
    return None if failure_of(data, key, limit_bytes=1 << 24) else open_envelope(data, key, limit_bytes=1 << 24)


def is_authenticated(data: bytes) -> bool:
    """Whether it is an AuthEnvelopedData."""
    return b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17" in data[:40]


def in_pieces(data: bytes) -> bytes | None:
    """What `streamed` makes of a good message: AES-CCM cannot be read in pieces."""
    return None if bytes.fromhex("60864801650304012f") in data else PLAINTEXT


def damaged(data: bytes, step: int) -> Iterator[bytes]:
    """Cut at every octet, and every bit flipped; or every so manieth of both."""
    yield from (data[:length] for length in range(0, len(data), step))
    for bit in range(0, 8 * len(data), step):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


@pytest.mark.parametrize("step", [13, pytest.param(1, marks=pytest.mark.slow)], ids=["sampled", "all"])
def test_cut_and_flipped(message: Message, step: int) -> None:
    data, key = message
    key = key if step > 1 else remembering(key)
    opened = 0
    for bad in damaged(data, step):
        for read in (whole, streamed):
            plaintext = read(bad, key)
            opened += plaintext is not None
            if is_authenticated(data):
                assert plaintext in (None, PLAINTEXT)
    # who it is for, version numbers and what else nobody looks at: a small part of the message
    assert opened < 2 * sum(1 for _ in damaged(data, step)) * 0.45


@pytest.mark.parametrize("step", [29, pytest.param(3, marks=pytest.mark.slow)], ids=["sampled", "more"])
def test_cut_and_flipped_text(message: Message, step: int) -> None:
    data, key = message
    key = key if step > 3 else remembering(key)
    armored = b"-----BEGIN CMS-----\n" + base64.encodebytes(data) + b"-----END CMS-----\n"
    for text in (armored, base64.encodebytes(data), base64.b64encode(data)):
        assert (whole(text, key), streamed(text, key)) == (PLAINTEXT, in_pieces(data))
        for bad in damaged(text, step):
            for read in (whole, streamed):
                plaintext = read(bad, key)
                if is_authenticated(data):
                    assert plaintext in (None, PLAINTEXT)


def test_ber_of_every_form_opens(message: Message) -> None:
    """Indefinite lengths everywhere; strings in pieces of one octet, of many, nested, and empty ones between."""
    data, key = message
    assert whole(rewritten(data), key) == PLAINTEXT
    for size in (1, 5, 1000):
        for nested in (0, 1, 5):
            other = rewritten(data, size=size, nested=nested)
            assert whole(other, key) == PLAINTEXT
            assert streamed(other, key) == in_pieces(data)


def test_ber_nested_without_end_does_not_open(message: Message) -> None:
    data, key = message
    for nested in (MAX_DEPTH, 200, 3000):
        assert whole(rewritten(data, size=5, nested=nested, indefinite=False), key) is None
        assert streamed(rewritten(data, size=5, nested=nested), key) is None


def rewritten(data: bytes, *, size: int | None = None, nested: int = 0, indefinite: bool = True) -> bytes:
    """The same message in BER: no lengths; octet strings cut into pieces of this size, inside so many others."""
    found, at = [], 0
    while at < len(data):
        start, stop = read_header(data, at, len(data))
        if stop is None:
            stop = end_of(data, start)
            inside, after = data[start : stop - 2], stop
        else:
            inside, after = data[start:stop], stop
        if data[at] & 0x20:
            content = rewritten(inside, size=size, nested=nested, indefinite=indefinite)
            found.append(framed(data[at], content, indefinite))
        elif data[at] in _OCTET_STRINGS and size is not None:
            pieces = [inside[place : place + size] for place in range(0, len(inside), size)]
            content = b"\x04\x00".join(encode_element(0x04, piece) for piece in pieces)
            for _ in range(nested):
                content = framed(0x24, content, indefinite)
            found.append(framed(data[at] | 0x20, content, indefinite))
        else:
            found.append(data[at:after])
        at = after
    return b"".join(found)


def framed(tag: int, content: bytes, indefinite: bool) -> bytes:
    """One constructed element."""
    return bytes((tag, 0x80)) + content + b"\0\0" if indefinite else encode_element(tag, content)


def end_of(data: bytes, at: int) -> int:
    """Where an element of indefinite length ends whose contents begin here."""
    while data[at : at + 2] != b"\0\0":
        start, stop = read_header(data, at, len(data))
        at = end_of(data, start) if stop is None else stop
    return at + 2


def algorithm(data: bytes, old: str, new: str) -> bytes:
    """The message with one object identifier for another."""
    assert bytes.fromhex(old) in data
    return data.replace(bytes.fromhex(old), bytes.fromhex(new))


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "something behind it": lambda data: data + b"\x30\x00",
    "twice": lambda data: data + data,
    "in a SEQUENCE": lambda data: encode_element(0x30, data),
    "in an OCTET STRING": lambda data: encode_element(0x04, data),
    "data": lambda data: encode_element(0x30, bytes.fromhex("06092a864886f70d010701") + b"\xa0\x02\x04\x00"),
    "upside down": lambda data: data[::-1],
    "nothing but zeros": lambda data: bytes(len(data)),
    "nothing but 0xff": lambda data: b"\xff" * len(data),
    "a SEQUENCE of zeros": lambda data: encode_element(0x30, bytes(len(data))),
    "indefinite and never closed": lambda data: b"\x30\x80" + data[4:],
    "deep": lambda data: b"\x30\x80" * 5000 + b"\0\0" * 5000,
    "deep and definite": lambda data: nest(b"", 5000),
    "wide": lambda data: encode_element(0x30, b"\x05\x00" * 400_000),
    "wide inside": lambda data: data.replace(b"\x02\x01", b"\x05\x00" * 400_000 + b"\x02\x01", 1),
    "a length of four gigabytes": lambda data: b"\x30\x84\xff\xff\xff\xff" + data[4:],
    "a length of nothing": lambda data: b"\x30\x81" + data[4:],
    "base64 of base64": lambda data: base64.b64encode(base64.b64encode(data)),
    "text": lambda data: b"Content-Type: text/html\n\n<html></html>",
    "another label": lambda data: (
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(data) + b"-----END CERTIFICATE-----\n"
    ),
    "two blocks": lambda data: 2 * (b"-----BEGIN CMS-----\n" + base64.encodebytes(data) + b"-----END CMS-----\n"),
}


def nest(data: bytes, depth: int) -> bytes:
    for _ in range(depth):
        data = encode_element(0x30, data)
    return data


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_as_a_whole(message: Message, wrong: str) -> None:
    data, key = message
    if wrong == "indefinite and never closed" and data[1] == 0x80:
        data = data[:-2]
    bad = WRONG[wrong](data)
    assert bad != data
    assert whole(bad, key) is None
    assert streamed(bad, key) is None


def test_encrypted_data_is_another_kind(recipients: dict[str, Recipient]) -> None:
    recipient = recipients["ec-p256"]
    data = encrypt(PLAINTEXT, recipient.certificate)
    for kind in ("06", "05", "02", "09"):
        bad = algorithm(data, "2a864886f70d010703", f"2a864886f70d0107{kind}")
        assert whole(bad, recipient.key) is streamed(bad, recipient.key) is None


@pytest.mark.parametrize(
    ("cipher", "others"),
    [
        # triple DES, RC2, AES-GCM without GCM, key wrap, authenticated by no tag
        ("aes-256-cbc", ["2a864886f70d0307", "2a864886f70d0302", "60864801650304012e", "60864801650304012d"]),
        ("aes-256-gcm", ["60864801650304012a", "60864801650304012f", "2a864886f70d0307"]),
    ],
)
def test_the_wrong_cipher(recipients: dict[str, Recipient], cipher: str, others: list[str]) -> None:
    recipient = recipients["ec-p256"]
    data = encrypt(PLAINTEXT, recipient.certificate, cipher=cipher)
    name = "60864801650304012a" if cipher == "aes-256-cbc" else "60864801650304012e"
    for other in others:
        at = data.index(bytes.fromhex("0609" + name))
        tail = bytes.fromhex(other)
        replaced = (
            data[:at] + (b"\x06\x09" + tail if len(tail) == 9 else b"\x06\x09" + tail + b"\x01") + data[at + 11 :]
        )
        assert whole(replaced, recipient.key) is streamed(replaced, recipient.key) is None


def test_the_wrong_recipient(message: Message, recipients: dict[str, Recipient]) -> None:
    data, key = message
    for recipient in recipients.values():
        if recipient.key is not key:
            for read in (whole, streamed):
                plaintext = read(data, recipient.key)
                # for a wrong RSA key OpenSSL makes a content up; one in 60,000 is as long as a content key and pads CBC well
                assert plaintext is None or (plaintext != PLAINTEXT and not is_authenticated(data))


@pytest.mark.slow
@pytest.mark.parametrize("read", [whole, streamed])
def test_time_and_memory_stay_in_proportion(recipients: dict[str, Recipient], read: Callable[..., object]) -> None:
    """16 MiB of the worst there is: seconds and not minutes, and a few times its size."""
    size = 1 << 24
    key = recipients["ec-p256"].key
    worst = {
        "zeros": bytes(size),
        "deep": b"\x30\x80" * (size // 2),
        "wide": encode_element(0x30, b"\x05\x00" * (size // 2 - 4)),
        "letters": b"A" * size,
        "spaces": b" " * size,
        "dashes": b"-----BEGIN CMS-----\n" * (size // 20),
        "dashes only": b"-" * size,
        "header": b"Content-Type: " + b"a" * (size - 20),
        "lines": b"\r\n" * (size // 2),
    }
    good = encrypt(PLAINTEXT, recipients["ec-p256"].certificate, options=("-stream",))
    at = place_of_content(good)
    worst["pieces"] = good[: at + 2] + b"\x04\x00" * (size // 2 - 400) + good[at + 2 :]
    for name, bad in worst.items():
        tracemalloc.start()
        began = time.thread_time()
        assert read(bad, key) is None, name
        took, (_, peak) = time.thread_time() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert took < 20, name
        assert peak < 8 * size, name
