"""What a key is asked to do does not tell which recipient is ours, nor whether anything was good (CALE-70)."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.type import univ

from device_sdk.errors import EnvelopeError
from device_sdk.keystores.keys import EcDeviceKey
from device_sdk.model.decryption import AUTHENTICATED, EVERYTHING
from device_sdk.model.keys import KeyInfo
from device_sdk.wire.cms import open_envelope, open_stream
from device_sdk.wire.cms.content import EncryptedContent
from device_sdk.wire.cms.recipients import MAX_CANDIDATES
from tests.cms.handmade import (
    AES_CCM,
    TellingRsaKey,
    auth_enveloped,
    authenticated,
    ccm_enveloped,
    enveloped,
    key_transport,
    pkcs1_block,
    rsa_block,
)
from tests.cms.messages import Recipient, failure_of
from tests.cms.test_key_agreement import key_agreement

PLAINTEXT = b"constant"
CONTENT_KEY = bytes(range(32))
OTHERS = 5


class CountingEcKey(EcDeviceKey):
    """Counts its operations."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._software = key
        self.operations = 0

    @property
    def info(self) -> KeyInfo:
        return KeyInfo("test:", "test", None, "test", None, None, hardware=False, extractable=True)

    def close(self) -> None:
        pass

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._software.public_key()

    def _agree(self, peer: ec.EllipticCurvePublicKey) -> bytes:
        self.operations += 1
        return self._software.exchange(ec.ECDH(), peer)

    def _sign_digest(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> tuple[int, int]:
        raise NotImplementedError


class Counter:
    """A key, the decryptions of contents since it was last asked, and recipients for it: ours, a stranger's, a bad one."""

    def __init__(self, kind: str, software: Any, contents: list[bytes]) -> None:
        self.rsa = kind == "rsa"
        self.software = software
        self.key: Any = TellingRsaKey(software) if self.rsa else CountingEcKey(software)
        self.contents = contents
        other = ec.generate_private_key(ec.SECP256R1()).public_key()
        if self.rsa:
            self.ours = self._block(pkcs1_block(CONTENT_KEY))
            self.stranger = self._block(b"\0" + os.urandom(255))
            self.bad = self._block(pkcs1_block(CONTENT_KEY, kind=1))
        else:
            self.ours = key_agreement(software.public_key())
            self.stranger = key_agreement(other)
            self.bad = key_agreement(software.public_key(), strangers=1, scheme="1.3.132.1.11.2")

    def _block(self, block: bytes, **named: Any) -> Any:
        return key_transport(rsa_block(self.software.public_key(), block), **named)

    def pattern(self, recipients: Iterable[Any], *, gcm: bool, stream: bool) -> tuple[bool, int, int]:
        """Whether a message for these opens, the operations of the key, and the contents decrypted."""
        message = (auth_enveloped if gcm else enveloped)(CONTENT_KEY, PLAINTEXT, *recipients)
        before, self.contents[:] = self.key.operations, []
        try:
            if stream:
                opened = b"".join(open_stream([message], self.key, io.BytesIO(), limit_bytes=1 << 16)) == PLAINTEXT
            else:
                opened = open_envelope(message, self.key) == PLAINTEXT
        except EnvelopeError:
            opened = False
        return opened, self.key.operations - before, len(self.contents)


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The content keys that whole contents are decrypted with."""
    used: list[bytes] = []
    original = EncryptedContent.decrypt_anyhow
    monkeypatch.setattr(EncryptedContent, "decrypt_anyhow", lambda self, key: used.append(key) or original(self, key))
    return used


@pytest.fixture(params=["rsa", "ec"])
def counter(request: pytest.FixtureRequest, recipients: dict[str, Recipient], contents: list[bytes]) -> Counter:
    name = "rsa-2048" if request.param == "rsa" else "ec-p256"
    return Counter(request.param, recipients[name].key, contents)


@pytest.mark.parametrize("gcm", [False, True], ids=["cbc", "gcm"])
def test_cale_70_the_place_of_our_recipient_does_not_show(counter: Counter, gcm: bool) -> None:
    seen = set()
    for at in range(OTHERS + 1):
        recipients = [counter.stranger] * at + [counter.ours] + [counter.stranger] * (OTHERS - at)
        seen.add(counter.pattern(recipients, gcm=gcm, stream=False))
        assert counter.pattern(recipients, gcm=gcm, stream=True)[:2] == (True, OTHERS + 1)
    assert seen == {(True, OTHERS + 1, OTHERS + 1)}


@pytest.mark.parametrize("gcm", [False, True], ids=["cbc", "gcm"])
def test_cale_70_nor_does_what_comes_out(counter: Counter, gcm: bool) -> None:
    for recipient in (counter.ours, counter.stranger, counter.bad):
        opened, operations, decrypted = counter.pattern([recipient] * 3, gcm=gcm, stream=False)
        assert (operations, decrypted) == (3, 3)
        assert opened == (recipient is counter.ours)
        assert counter.pattern([recipient] * 3, gcm=gcm, stream=True)[1] == 3


def test_every_key_is_used_whichever_opens(counter: Counter) -> None:
    other = Counter("rsa" if counter.rsa else "ec", counter.software, counter.contents)
    message = enveloped(CONTENT_KEY, PLAINTEXT, counter.ours)
    assert open_envelope(message, [counter.key, other.key]) == PLAINTEXT
    assert (counter.key.operations, other.key.operations) == (1, 1)


def test_a_message_costs_no_more_than_so_many_operations(counter: Counter) -> None:
    full = [counter.stranger] * (MAX_CANDIDATES - 1) + [counter.ours]
    assert counter.pattern(full, gcm=False, stream=False)[:2] == (True, MAX_CANDIDATES)
    for stream in (False, True):
        assert counter.pattern([*full, counter.stranger], gcm=False, stream=stream) == (False, 0, 0)


@pytest.mark.parametrize("at", [0, 7, 15])
def test_cale_08_ours_is_found_among_sixteen(counter: Counter, at: int) -> None:
    """As many as docs/standards.md promises, wherever ours is; a seventeenth makes it a message for nobody."""
    sixteen = [counter.stranger] * at + [counter.ours] + [counter.stranger] * (15 - at)
    for stream in (False, True):
        assert counter.pattern(sixteen, gcm=False, stream=stream)[:2] == (True, 16)
        assert counter.pattern([*sixteen, counter.stranger], gcm=False, stream=stream) == (False, 0, 0)


def test_cale_68_only_those_named_by_our_key_are_tried(recipients: dict[str, Recipient]) -> None:
    """Which those are anybody can compute, so that it tells nothing; and a crowd costs one operation."""
    software = recipients["rsa-2048"].key
    assert isinstance(software, rsa.RSAPrivateKey)
    public = software.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    ski = hashlib.sha1(public, usedforsecurity=False).digest()
    key = TellingRsaKey(software)
    strangers = [key_transport(rsa_block(software.public_key(), pkcs1_block(os.urandom(32)))) for _ in range(30)]
    for block, opens in ((pkcs1_block(CONTENT_KEY), True), (pkcs1_block(CONTENT_KEY, kind=1), False)):
        before = key.operations
        named = key_transport(rsa_block(software.public_key(), block), ski=ski)
        message = enveloped(CONTENT_KEY, PLAINTEXT, *strangers[:15], named, *strangers[15:])
        assert failure_of(message, key) is not opens
        assert key.operations == before + 1


def test_what_the_policy_refuses_reaches_no_key(counter: Counter) -> None:
    message = enveloped(CONTENT_KEY, PLAINTEXT, counter.ours)
    assert failure_of(message, counter.key, policy=AUTHENTICATED)
    method = "rsa-pkcs1" if counter.rsa else "ecdh-sha256"
    assert failure_of(message, counter.key, policy=EVERYTHING.without([method]))
    assert counter.key.operations == 0


@pytest.mark.parametrize("tag_bytes", [4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("key_bytes", [16, 24, 32])
def test_rfc_5084_ccm(recipients: dict[str, Recipient], key_bytes: int, tag_bytes: int) -> None:
    """Tags under 96 bits are allowed there and not here; a stream refuses AES-CCM."""
    software = recipients["rsa-2048"].key
    assert isinstance(software, rsa.RSAPrivateKey)
    block = key_transport(rsa_block(software.public_key(), pkcs1_block(bytes(key_bytes))))
    for nonce_bytes in (7, 12, 13):
        message = ccm_enveloped(bytes(key_bytes), PLAINTEXT, block, tag_bytes=tag_bytes, nonce_bytes=nonce_bytes)
        if tag_bytes < 12:
            assert failure_of(message, software)
            continue
        assert open_envelope(message, software) == PLAINTEXT
        assert failure_of(message[:-1] + bytes([message[-1] ^ 1]), software)
        with pytest.raises(EnvelopeError):
            open_stream([message], software, io.BytesIO(), limit_bytes=1 << 16)


def test_rfc_3610_the_nonce_of_ccm_leaves_room_for_so_much(recipients: dict[str, Recipient]) -> None:
    """13 octets of nonce leave two for the length of the content."""
    software = recipients["rsa-2048"].key
    assert isinstance(software, rsa.RSAPrivateKey)
    block = key_transport(rsa_block(software.public_key(), pkcs1_block(bytes(32))))
    most = ccm_enveloped(bytes(32), bytes(65535), block, nonce_bytes=13)
    assert open_envelope(most, software) == bytes(65535)
    nonce, ccm = univ.Sequence(), univ.ObjectIdentifier(AES_CCM[32])
    nonce[0], nonce[1] = univ.OctetString(bytes(13)), univ.Integer(16)
    assert failure_of(authenticated(ccm, nonce, bytes(65536), bytes(16), (block,)), software)
