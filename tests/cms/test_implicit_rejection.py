"""A bad RSA block costs exactly what a good one does, and is never a success (CALE-10, CALE-70, RFC 3218 section 2.3.2)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import (
    DeviceSdkError,
    KeyStoreBusyError,
    KeyStoreFailedError,
    MechanismUnsupportedError,
    PinIncorrectError,
    PinLockedError,
    PinRequiredError,
    TokenRemovedError,
)
from device_sdk.wire.cms import open_envelope
from device_sdk.wire.cms.content import Decrypted, EncryptedContent
from tests.cms.handmade import (
    TellingRsaKey,
    auth_enveloped,
    enveloped,
    key_transport,
    pkcs1_block,
    rsa_block,
)
from tests.cms.messages import Recipient, encrypt, failure_of

PLAINTEXT = b"for the key's eyes only"
CONTENT_KEY = bytes(range(32))

BAD_BLOCKS: dict[str, Callable[[], bytes]] = {
    "block type 1": lambda: pkcs1_block(CONTENT_KEY, kind=1),
    "not starting with zero": lambda: b"\x01" + pkcs1_block(CONTENT_KEY)[1:],
    "no zero octet": lambda: b"\x00\x02" + b"\x55" * 254,
    "short filler": lambda: b"\x00\x02" + b"\x55" * 4 + b"\x00" + b"\x55" * 249,
    "random": lambda: b"\x00" + os.urandom(255),
    "empty content key": lambda: pkcs1_block(b""),
    "one octet short": lambda: pkcs1_block(CONTENT_KEY[1:]),
    "one octet long": lambda: pkcs1_block(CONTENT_KEY + b"\x00"),
    "key of another cipher": lambda: pkcs1_block(CONTENT_KEY[:16]),
    "another content key": lambda: pkcs1_block(CONTENT_KEY[::-1]),
}


@pytest.fixture(scope="module")
def software_key(recipients: dict[str, Recipient]) -> rsa.RSAPrivateKey:
    key = recipients["rsa-2048"].key
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture
def content_keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The content keys that content is decrypted with, as they are used."""
    used: list[bytes] = []
    original = EncryptedContent.decrypt_anyhow

    def decrypt(self: EncryptedContent, key: bytes) -> Decrypted | None:
        used.append(key)
        return original(self, key)

    monkeypatch.setattr(EncryptedContent, "decrypt_anyhow", decrypt)
    return used


def message_with(key: rsa.RSAPrivateKey, block: bytes, *, gcm: bool = False) -> bytes:
    """With a fixed vector, as CBC takes one in 256 for well padded with another content key; not this one."""
    recipient = key_transport(rsa_block(key.public_key(), block))
    if gcm:
        return auth_enveloped(CONTENT_KEY, PLAINTEXT, recipient)
    return enveloped(CONTENT_KEY, PLAINTEXT, recipient, iv=bytes(16))


@pytest.mark.parametrize("gcm", [False, True], ids=["cbc", "gcm"])
def test_a_good_block_opens_with_one_operation_of_each_kind(
    software_key: rsa.RSAPrivateKey, content_keys: list[bytes], gcm: bool
) -> None:
    key = TellingRsaKey(software_key)
    assert open_envelope(message_with(software_key, pkcs1_block(CONTENT_KEY), gcm=gcm), key) == PLAINTEXT
    assert (key.operations, content_keys) == (1, [CONTENT_KEY])


@pytest.mark.parametrize("gcm", [False, True], ids=["cbc", "gcm"])
@pytest.mark.parametrize("bad", BAD_BLOCKS)
def test_cale_70_a_bad_block_costs_the_same(
    software_key: rsa.RSAPrivateKey, content_keys: list[bytes], bad: str, gcm: bool
) -> None:
    """One key operation, one decryption of the content with a key of the right length, one error."""
    key = TellingRsaKey(software_key)
    message = message_with(software_key, BAD_BLOCKS[bad](), gcm=gcm)
    assert failure_of(message, key)
    assert key.operations == 1
    assert [len(used) for used in content_keys] == [32]


def test_the_stand_in_is_random(software_key: rsa.RSAPrivateKey, content_keys: list[bytes]) -> None:
    message = message_with(software_key, pkcs1_block(CONTENT_KEY, kind=1))
    for _ in range(5):
        assert failure_of(message, TellingRsaKey(software_key))
    assert len(set(content_keys)) == 5


@pytest.mark.parametrize("bad", ["block type 1", "one octet short"])
def test_cale_09_garbage_is_never_a_success(software_key: rsa.RSAPrivateKey, bad: str) -> None:
    """A wrong content key gives valid CBC padding once in 256 times; 1,500 tries would show it (openssl: 7 times)."""
    message = message_with(software_key, BAD_BLOCKS[bad]())
    key = TellingRsaKey(software_key, KeyStoreFailed)
    assert all(failure_of(message, key) for _ in range(1500))


def KeyStoreFailed() -> DeviceSdkError:  # noqa: N802  # stands where an exception class could
    """What a token answers to bad padding (CKR_GENERAL_ERROR)."""
    return KeyStoreFailedError("the token failed", return_code=5)


@pytest.mark.parametrize("failure", [KeyStoreFailed, lambda: MechanismUnsupportedError("no such mechanism")])
def test_a_failure_of_the_key_looks_like_any_other(
    software_key: rsa.RSAPrivateKey, content_keys: list[bytes], failure: Callable[[], Exception]
) -> None:
    key = TellingRsaKey(software_key, failure)
    assert failure_of(message_with(software_key, pkcs1_block(CONTENT_KEY, kind=1)), key)
    assert (key.operations, len(content_keys)) == (1, 1)


@pytest.mark.parametrize(
    "kind",
    [PinIncorrectError, PinRequiredError, PinLockedError, TokenRemovedError, KeyStoreBusyError],
    ids=lambda kind: kind.__name__,
)
def test_a_key_that_cannot_be_used_says_so(software_key: rsa.RSAPrivateKey, kind: type[DeviceSdkError]) -> None:
    key = TellingRsaKey(software_key, lambda: kind("as it is"))
    with pytest.raises(kind, match="as it is"):
        open_envelope(message_with(software_key, pkcs1_block(CONTENT_KEY, kind=1)), key)


def test_oaep_failures_take_the_same_way(recipients: dict[str, Recipient], content_keys: list[bytes]) -> None:
    """Manger's attack is the same question asked of OAEP."""
    recipient = recipients["rsa-2048"]
    message = encrypt(PLAINTEXT, recipient.certificate, keyopt=("rsa_padding_mode:oaep",))
    broken = bytearray(message)
    broken[message.index(b"\x04\x82\x01\x00") + 100] ^= 1
    assert isinstance(recipient.key, rsa.RSAPrivateKey)
    key = TellingRsaKey(recipient.key)
    assert failure_of(bytes(broken), key)
    assert (key.operations, len(content_keys)) == (1, 1)


def test_one_operation_a_candidate_and_none_for_blocks_of_another_size(
    software_key: rsa.RSAPrivateKey, content_keys: list[bytes]
) -> None:
    public = software_key.public_key()
    strangers = [key_transport(rsa_block(public, pkcs1_block(os.urandom(32)))) for _ in range(3)]
    other_sizes = [key_transport(os.urandom(size)) for size in (128, 255, 257, 384)]
    ours = key_transport(rsa_block(public, pkcs1_block(CONTENT_KEY)))
    key = TellingRsaKey(software_key)
    assert failure_of(enveloped(CONTENT_KEY, PLAINTEXT, *other_sizes), key)
    assert (key.operations, content_keys) == (0, [])
    open_envelope(enveloped(CONTENT_KEY, PLAINTEXT, *strangers, *other_sizes, ours), key)
    assert 1 <= key.operations <= 4


def test_cale_68_a_key_identifier_is_a_hint(software_key: rsa.RSAPrivateKey) -> None:
    """Named by its identifier our recipient is tried first, wherever it stands in the SET."""
    public = software_key.public_key()
    ski = hashlib.sha1(public.public_bytes(Encoding.DER, PublicFormat.PKCS1), usedforsecurity=False).digest()
    strangers = [key_transport(rsa_block(public, pkcs1_block(os.urandom(32)))) for _ in range(10)]
    ours = key_transport(rsa_block(public, pkcs1_block(CONTENT_KEY)), ski=ski)
    key = TellingRsaKey(software_key)
    assert open_envelope(enveloped(CONTENT_KEY, PLAINTEXT, *strangers, ours), key) == PLAINTEXT
    assert key.operations == 1


@pytest.mark.parametrize("gcm", [False, True], ids=["cbc", "gcm"])
def test_what_is_wrong_in_the_open_costs_no_key_operation(software_key: rsa.RSAPrivateKey, gcm: bool) -> None:
    message = message_with(software_key, pkcs1_block(CONTENT_KEY), gcm=gcm)
    key = TellingRsaKey(software_key)
    cut = [message[:length] for length in range(len(message))]
    assert all(failure_of(piece, key) for piece in cut)
    for cipher in ("1.2.840.113549.3.7", "2.16.840.1.101.3.4.1.46", "2.16.840.1.101.3.4.1.41"):
        recipient = key_transport(rsa_block(software_key.public_key(), pkcs1_block(CONTENT_KEY)))
        assert failure_of(enveloped(CONTENT_KEY, PLAINTEXT, recipient, cipher=cipher), key)
    assert key.operations == 0


def test_the_ciphers_of_the_other_kind_of_message_are_refused(software_key: rsa.RSAPrivateKey) -> None:
    """AES-CBC in an AuthEnvelopedData would make the authenticated kind malleable."""
    message = message_with(software_key, pkcs1_block(CONTENT_KEY), gcm=True)
    gcm, cbc = bytes.fromhex("060960864801650304012e"), bytes.fromhex("060960864801650304012a")
    assert message.count(gcm) == 1
    assert failure_of(message.replace(gcm, cbc), software_key)


@pytest.mark.parametrize("tag_bytes", range(17))
def test_rfc_5084_tag_lengths(software_key: rsa.RSAPrivateKey, tag_bytes: int) -> None:
    """AES-GCM-ICVlen ::= INTEGER (12 | 13 | 14 | 15 | 16)."""
    recipient = key_transport(rsa_block(software_key.public_key(), pkcs1_block(CONTENT_KEY)))
    message = auth_enveloped(CONTENT_KEY, PLAINTEXT, recipient, tag_bytes=tag_bytes)
    if tag_bytes < 12:
        assert failure_of(message, software_key)
    else:
        assert open_envelope(message, software_key) == PLAINTEXT


def test_authenticated_attributes_are_authenticated(software_key: rsa.RSAPrivateKey) -> None:
    message = message_with(software_key, pkcs1_block(CONTENT_KEY), gcm=True)
    attribute = bytes.fromhex("06092a864886f70d010903")
    assert message.count(attribute) == 1
    assert failure_of(message.replace(attribute, bytes.fromhex("06092a864886f70d010904")), software_key)
