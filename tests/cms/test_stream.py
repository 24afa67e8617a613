"""Messages in pieces: opened in bounded memory, and exactly those that open as a whole."""

from __future__ import annotations

import base64
import io
import os
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from device_sdk.client.cale.spool import PrivateSpool
from device_sdk.errors import EnvelopeError, StateNotWritableError, TransportError
from device_sdk.model.decryption import AUTHENTICATED, EVERYTHING, DecryptionPolicy
from device_sdk.wire.cms import open_envelope, open_stream
from device_sdk.wire.cms.definite import encode_element
from device_sdk.wire.cms.envelope import CANNOT_OPEN
from device_sdk.wire.cms.recipients import OpeningKey
from tests.cms.handmade import auth_enveloped, chacha_enveloped, key_transport, pkcs1_block, rsa_block
from tests.cms.messages import Recipient, encrypt, place_of_content
from tests.cms.test_uniform_failure import KINDS, message_of, mutated

PLAINTEXT = bytes(range(256)) * 9
LIMIT = 1 << 20


def cut(message: bytes, size: int) -> Iterator[bytes]:
    """The message in pieces of this size."""
    return (message[at : at + size] for at in range(0, len(message), size))


def streamed(
    message: bytes, *keys: OpeningKey, size: int = 1000, limit: int = LIMIT, policy: DecryptionPolicy = EVERYTHING
) -> bytes | None:
    """The plaintext; None after checking that the failure says nothing."""
    caught: EnvelopeError | None = None
    with tempfile.TemporaryFile() as spool:
        try:
            return b"".join(open_stream(cut(message, size), keys, spool, limit_bytes=limit, policy=policy))
        except EnvelopeError as error:
            caught = error
    assert (str(caught), caught.__cause__, caught.__context__) == (CANNOT_OPEN, None, None)
    return None


@pytest.mark.parametrize("form", ["DER", "PEM", "SMIME", "base64", "one line"])
@pytest.mark.parametrize("options", [(), ("-stream",), ("-keyid",)], ids=["definite", "indefinite", "by key"])
@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-cbc", "aes-128-gcm", "aes-256-gcm"])
@pytest.mark.parametrize("name", ["rsa-2048", "ec-p256", "ec-p521"])
def test_every_form_cut_anywhere(
    recipients: dict[str, Recipient], name: str, cipher: str, options: tuple[str, ...], form: str
) -> None:
    recipient = recipients[name]
    openssl_form = form if form in ("DER", "PEM", "SMIME") else "DER"
    message = encrypt(PLAINTEXT, recipient.certificate, cipher=cipher, form=openssl_form, options=options)
    if form == "base64":
        message = base64.encodebytes(message)
    elif form == "one line":
        message = base64.b64encode(message) + b"\r\n\0"
    for size in (1, 2, 7, 1000, len(message)):
        assert streamed(message, recipient.key, size=size) == PLAINTEXT


def pem(body: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + b"-----BEGIN CMS-----\n" + body + b"-----END CMS-----" + after


PADDED: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "NUL after DER": (lambda der: der + b"\0\0", True),
    "white space after DER": (lambda der: der + b"\r\n \0\n", True),
    "an element after DER": (lambda der: der + b"\x05\x00", False),
    "NUL in base64": (lambda der: base64.encodebytes(der + b"\0"), False),
    "NULs in base64": (lambda der: base64.encodebytes(der + bytes(5)), False),
    "white space in base64": (lambda der: base64.encodebytes(der + b"\n"), False),
    "NUL after base64": (lambda der: base64.encodebytes(der) + b"\0 \0\n", True),
    "NUL within base64": (lambda der: base64.encodebytes(der).replace(b"\n", b"\0", 1), False),
    "PEM": (lambda der: pem(base64.encodebytes(der)), True),
    "NUL in PEM": (lambda der: pem(base64.encodebytes(der + b"\0")), False),
    "NUL before the end of PEM": (lambda der: pem(base64.encodebytes(der) + b"\0"), False),
    "text around PEM": (lambda der: pem(base64.encodebytes(der), b"From: me\n", b"\nfor you\0"), True),
    "S/MIME with DER": (lambda der: b"MIME-Version: 1.0\r\n\r\n" + der + b"\0", True),
    "S/MIME with base64": (lambda der: b"MIME-Version: 1.0\n\n" + base64.encodebytes(der), True),
    "S/MIME with NUL in base64": (lambda der: b"MIME-Version: 1.0\n\n" + base64.encodebytes(der + b"\0"), False),
    "S/MIME after a form feed": (lambda der: b"\fMIME-Version: 1.0\n\n" + base64.encodebytes(der), False),
    "space before DER": (lambda der: b" " + der, False),
}


@pytest.mark.parametrize(("wrap", "opens"), PADDED.values(), ids=PADDED)
@pytest.mark.parametrize("options", [(), ("-stream",)], ids=["definite", "indefinite"])
def test_both_readers_take_the_same(
    recipients: dict[str, Recipient], options: tuple[str, ...], wrap: Callable[[bytes], bytes], opens: bool
) -> None:
    """What surrounds a message: NUL bytes and white space may follow it as it came, and are no part of what was encoded."""
    recipient = recipients["ec-p256"]
    message = wrap(encrypt(PLAINTEXT, recipient.certificate, cipher="aes-256-cbc", options=options))
    whole: bytes | None = None
    with suppress(EnvelopeError):
        whole = open_envelope(message, recipient.key)
    assert whole == (PLAINTEXT if opens else None)
    for size in (1, 3, 64, 1000, len(message)):
        assert streamed(message, recipient.key, size=size) == whole


@pytest.mark.parametrize("options", [(), ("-stream",)], ids=["definite", "indefinite"])
def test_both_readers_look_at_the_same(recipients: dict[str, Recipient], options: tuple[str, ...]) -> None:
    """A broken name of the recipient is passed over where all lengths are definite, and refused where they are not."""
    recipient = recipients["rsa-2048"]
    good = encrypt(PLAINTEXT, recipient.certificate, cipher="aes-256-cbc", options=options)
    at = good.index(b"\x06\x03\x55\x04\x03") + 6  # the length of the common name
    message = good[:at] + b"\x78" + good[at + 1 :]
    whole: bytes | None = None
    with suppress(EnvelopeError):
        whole = open_envelope(message, recipient.key)
    assert whole == (None if options else PLAINTEXT)
    assert streamed(message, recipient.key) == whole


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 65535, 65536, 65537, 200_000])
@pytest.mark.parametrize("cipher", ["aes-256-cbc", "aes-256-gcm"])
def test_every_length(recipients: dict[str, Recipient], cipher: str, length: int) -> None:
    recipient = recipients["ec-p256"]
    data = os.urandom(length)
    for options in ((), ("-stream",)):
        if not length and "gcm" in cipher:
            continue  # openssl does not write it
        message = encrypt(data, recipient.certificate, cipher=cipher, options=options)
        assert streamed(message, recipient.key, size=8191) == data


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_opens_as_a_whole_opens_in_pieces_and_nothing_else(recipients: dict[str, Recipient], kind: str) -> None:
    message, key = message_of(recipients, kind)
    chance = random.Random(f"stream {kind}")  # noqa: S311  # a repeatable test, not a secret
    opened = 0
    for number in range(1500):
        altered = message[: number % len(message)] if number % 5 == 0 else mutated(message, chance)
        found = streamed(altered, key, size=chance.choice((1, 3, 64, 5000)))
        try:
            whole = open_envelope(altered, key)
        except EnvelopeError:
            whole = None
        # what is passed over unread is looked at more closely in a whole message of indefinite length
        assert found == whole or (whole is None and found == b"0123456789abcdef" * 3 and "stream" in kind)
        opened += found is not None
    assert opened, "this would prove nothing about messages that open"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["PEM", "SMIME", "base64"])
def test_altered_text(recipients: dict[str, Recipient], form: str) -> None:
    recipient = recipients["ec-p256"]
    if form == "base64":
        message = base64.encodebytes(encrypt(b"text", recipient.certificate))
    else:
        message = encrypt(b"text", recipient.certificate, form=form)
    chance = random.Random(f"stream text {form}")  # noqa: S311
    for number in range(1500):
        altered = message[: number % len(message)] if number % 5 == 0 else mutated(message, chance)
        found = streamed(altered, recipient.key, size=chance.choice((1, 3, 64, 5000)))
        try:
            whole = open_envelope(altered, recipient.key)
        except EnvelopeError:
            whole = None
        # text around a block is judged by fewer bytes where it comes in pieces; a plaintext never differs
        assert found == whole or None in (found, whole)


def test_several_recipients_and_keys(recipients: dict[str, Recipient]) -> None:
    names = ["other-rsa-2048", "rsa-3072", "ec-p384", "other-ec-p256", "rsa-2048", "ec-p256"]
    for cipher in ("aes-256-cbc", "aes-256-gcm"):
        message = encrypt(PLAINTEXT, *(recipients[name].certificate for name in names), cipher=cipher)
        for name in names:
            assert streamed(message, recipients[name].key) == PLAINTEXT
        assert streamed(message, recipients["ec-p521"].key, recipients["rsa-2048"].key) == PLAINTEXT
        assert streamed(message, recipients["ec-p521"].key) is None


@pytest.mark.slow
def test_chacha20_poly1305_and_attributes(recipients: dict[str, Recipient]) -> None:
    """RFC 8103; put together from ChaCha20 and Poly1305 here, by the library's own AEAD there."""
    recipient = recipients["rsa-2048"]
    block = key_transport(rsa_block(recipient.key.public_key(), pkcs1_block(bytes(range(32)))))  # type: ignore[arg-type]
    for write in (chacha_enveloped, auth_enveloped):
        message = write(bytes(range(32)), PLAINTEXT, block)
        assert streamed(message, recipient.key) == open_envelope(message, recipient.key) == PLAINTEXT
        for at in range(len(message) - 3000, len(message), 7):
            flipped = bytearray(message)
            flipped[at] ^= 1
            assert streamed(bytes(flipped), recipient.key) in (None, PLAINTEXT)
        assert streamed(message[:-1] + bytes([message[-1] ^ 1]), recipient.key) is None


def test_the_policy_holds(recipients: dict[str, Recipient]) -> None:
    recipient = recipients["ec-p256"]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher="aes-256-cbc")
    assert streamed(message, recipient.key, policy=AUTHENTICATED) is None
    assert streamed(
        encrypt(PLAINTEXT, recipient.certificate, cipher="aes-256-gcm"), recipient.key, policy=AUTHENTICATED
    )


def test_nothing_is_released_before_the_tag_is_good(recipients: dict[str, Recipient]) -> None:
    """The failure comes out of the call, before there is anything to iterate over; the spool never holds plaintext."""
    recipient = recipients["ec-p256"]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher="aes-256-gcm")
    spool = io.BytesIO()
    with pytest.raises(EnvelopeError):
        open_stream([message[:-1] + bytes([message[-1] ^ 1])], recipient.key, spool, limit_bytes=LIMIT)
    spool = io.BytesIO()
    pieces = open_stream([message], recipient.key, spool, limit_bytes=LIMIT)
    assert b"".join(pieces) == PLAINTEXT
    assert PLAINTEXT[:64] not in spool.getvalue()
    assert len(spool.getvalue()) == len(PLAINTEXT)


def test_a_spool_that_changes_is_noticed(recipients: dict[str, Recipient]) -> None:
    recipient = recipients["ec-p256"]
    message = encrypt(PLAINTEXT, recipient.certificate, cipher="aes-256-gcm")
    for change in (
        lambda spool: spool.truncate(100),
        lambda spool: spool.getbuffer().__setitem__(3, spool.getvalue()[3] ^ 1),
    ):
        spool = io.BytesIO()
        pieces = open_stream([message], recipient.key, spool, limit_bytes=LIMIT)
        change(spool)
        with pytest.raises(EnvelopeError):
            list(pieces)


def test_limits(recipients: dict[str, Recipient]) -> None:
    recipient = recipients["ec-p256"]
    message = encrypt(PLAINTEXT, recipient.certificate)
    assert streamed(message, recipient.key, limit=len(message)) == PLAINTEXT
    assert streamed(message, recipient.key, limit=len(message) - 1) is None
    for hostile in (
        b"\x30\x80" * 100_000,
        b"\x30\x80\x06\x01\x00" + b"\xa0\x80\x30\x80" + b"\x31\x80" * 100_000,
        encode_element(0x30, b"\x06\x01\x00" + encode_element(0xA0, encode_element(0x30, bytes(300_000)))),
        b" " * 300_000,
        b"A" * 300_000,
        b"-----BEGIN CMS-----\n" + b"A" * 300_000,
        b"-----BEGIN CMS-----\nMAA=\n-----END CMS-----\n-----BEGIN CMS-----\nMAA=\n-----END CMS-----\n",
    ):
        assert streamed(hostile, recipient.key) is None


def test_base64_ends_once(recipients: dict[str, Recipient]) -> None:
    """Padding in the middle, and anything behind NUL bytes; in what is read at once, and behind that."""
    recipient = recipients["ec-p256"]
    data = os.urandom(150_000)
    message = encrypt(data, recipient.certificate)
    text = base64.b64encode(message)
    for size in (4, 400, 90_001, 200_000):
        assert streamed(text, recipient.key, size=size) == data
        for at in (400, 90_000):
            octets = at // 4 * 3 + 1
            for bad in (
                base64.b64encode(message[:octets]) + base64.b64encode(message[octets:]),
                text[:at] + b"\0" + text[at:],
                text[:at] + b"=" + text[at:],
            ):
                assert streamed(bad, recipient.key, size=size) is None


def test_errors_of_the_source_pass(recipients: dict[str, Recipient]) -> None:
    def broken() -> Iterator[bytes]:
        yield b"\x30\x80"
        raise TransportError("the connection broke")

    with pytest.raises(TransportError), tempfile.TemporaryFile() as spool:
        open_stream(broken(), recipients["ec-p256"].key, spool, limit_bytes=LIMIT)


def test_a_private_spool_has_no_name_and_is_for_nobody_else(tmp_path: Path) -> None:
    with PrivateSpool(tmp_path) as spool:
        spool.write(b"ciphertext")
        assert list(tmp_path.iterdir()) == []
        assert os.fstat(spool.fileno()).st_mode & 0o777 == 0o600
        assert os.fstat(spool.fileno()).st_nlink == 0
    with pytest.raises(StateNotWritableError, match="nowhere"):
        PrivateSpool(tmp_path / "nowhere")


_CHILD = """
import resource, sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from device_sdk.client.cale.spool import PrivateSpool
from device_sdk.wire.cms import open_stream

key = load_pem_private_key(open(sys.argv[1], "rb").read(), None)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = 0
with open(sys.argv[2], "rb") as message, PrivateSpool() as spool:
    for piece in open_stream(iter(lambda: message.read(65536), b""), key, spool, limit_bytes=1 << 27):
        size += len(piece)
print(size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cipher", "options", "form"),
    # every pair of two of them
    [
        ("aes-256-cbc", (), "DER"),
        ("aes-256-cbc", ("-stream",), "PEM"),
        ("aes-256-gcm", (), "PEM"),
        ("aes-256-gcm", ("-stream",), "DER"),
    ],
    ids=["cbc-definite-DER", "cbc-indefinite-PEM", "gcm-definite-PEM", "gcm-indefinite-DER"],
)
def test_64_mib_in_4_mib(tmp_path: Path, cipher: str, options: tuple[str, ...], form: str) -> None:
    """Measured in a process of its own: how much its peak memory grows over what it was before the message."""
    assert resource.RUSAGE_SELF == 0
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    from tests.cms.messages import write_certificate

    message = encrypt(
        bytes(1 << 26), write_certificate(tmp_path, key.public_key()), cipher=cipher, options=options, form=form
    )
    (tmp_path / "message").write_bytes(message)
    words = [sys.executable, "-c", _CHILD, str(tmp_path / "key.pem"), str(tmp_path / "message")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    size, grown_kib = map(int, done.stdout.split())
    assert size == 1 << 26
    assert grown_kib < 4096


def content_as(message: bytes, content: bytes) -> bytes:
    """A streamed message of openssl with another [0]; it stands between the last indefinite 0xA0 and its end."""
    at = place_of_content(message)
    start = at + 2
    length = message[start + 1]
    return message[:at] + content + message[start + 2 + length + 2 :]


@pytest.mark.parametrize("indefinite", [False, True])
def test_pieces_are_bounded_in_number_and_depth(recipients: dict[str, Recipient], indefinite: bool) -> None:
    """Only the content is in pieces here; a piece that reaches beyond the string around it is none."""
    recipient = recipients["ec-p256"]
    message = encrypt(b"x" * 15, recipient.certificate, cipher="aes-128-cbc", options=("-stream",))
    at = place_of_content(message)
    piece = message[at + 2 : at + 4 + 16]
    assert piece[:2] == b"\x04\x10"

    def string(content: bytes, tag: int = 0xA0) -> bytes:
        return bytes((tag, 0x80)) + content + b"\0\0" if indefinite else encode_element(tag, content)

    def opened(content: bytes) -> bool:
        return streamed(content_as(message, content), recipient.key, size=60_000) == b"x" * 15

    deep = piece
    for _ in range(30):
        deep = string(deep, 0x24)
    assert opened(string(piece))
    assert opened(string(string(piece, 0x24) + b"\x04\x00" * 1000))
    assert not opened(string(deep))
    assert not opened(string(piece + b"\x04\x00" * 100_001))
    assert not opened(string(b"\x24\x04" + piece))
    assert not opened(string(piece + b"\x02\x01\x00"))
