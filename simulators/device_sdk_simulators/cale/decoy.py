"""Keys for those who have none: a decoy is a real message for a key that nobody has (CALE-24, CALE-35 to CALE-38)."""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.answer_sizes import AnswerSizes
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME, Owner, make_certificate
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.envelope import ciphertext_length, seal
from device_sdk_simulators.database import Database
from device_sdk_simulators.policy import Policy

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
KeyKind: TypeAlias = int | ec.EllipticCurve
"""Bits of an RSA key, or a curve."""

DEFAULT_KIND: KeyKind = 2048


def kind_of(public_key: PublicKey) -> KeyKind:
    """What anybody can see of a key in a message for it."""
    return public_key.key_size if isinstance(public_key, rsa.RSAPublicKey) else public_key.curve


def mark_of(secret: bytes, guid: str) -> bytes:
    """32 bytes that stand for a GUID, and that only who has the secret can compute."""
    return hmac.digest(secret, guid.lower().encode(), "sha256")


def stand_in_key(kind: KeyKind, mark: bytes) -> PublicKey:
    """A public key of this kind, the same for the same mark: a real client has one key as long as it lives.

    The RSA modulus is a number of which not even this process knows the factors; of a curve's key the private half is
    forgotten at once.
    """
    if isinstance(kind, int):
        number = int.from_bytes(hashlib.shake_256(mark).digest((kind + 7) // 8))
        modulus = number & ((1 << kind) - 1) | 1 << (kind - 1) | 1
        return rsa.RSAPublicNumbers(65537, modulus).public_key()
    number = int.from_bytes(hashlib.shake_256(mark).digest((kind.key_size + 7) // 8))
    # one bit less than the curve's: below its order
    return ec.derive_private_key(number & ((1 << (kind.key_size - 1)) - 1) | 1, kind).public_key()


class Decoys:
    """Makes an edge device's decoys, and waits as long as answers take.

    Args:
        database: memory of lengths, and of the secret that keeps a stranger the same.
        policy: forms of the answers.
        clock: time of certificates.
        sleep: waits.
    """

    def __init__(
        self,
        database: Database,
        policy: Policy,
        clock: Callable[[], datetime],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._sizes = AnswerSizes(database)
        self._secret = database.secret("strangers of the edge device")
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._durations: deque[float] = deque([0.0], maxlen=64)

    def learn(self, path: str, message: bytes, cipher: ContentCipher, seconds: float) -> None:
        """Remember how long a real answer is, and how long it took."""
        self._sizes.learn(path, ciphertext_length(message, cipher), aead=cipher.aead)
        self._durations.append(seconds)

    def make(self, path: str, guid: str, like: x509.Certificate | KeyKind, cipher: ContentCipher) -> bytes:
        """A message for nobody.

        Args:
            path: of the request.
            guid: as the stranger sent it.
            like: a certificate of a key that nobody has, or the kind of key.
            cipher: of the connection.
        """
        mark = mark_of(self._secret, guid)
        recipient = like
        if not isinstance(recipient, x509.Certificate):
            recipient = stand_in_certificate(recipient, mark, self._clock())
        plaintext = os.urandom(self._sizes.plaintext_length(path, mark, aead=cipher.aead))
        return seal(plaintext, recipient, cipher, hardened=self._policy.cale_hardened)

    def wait(self, started: float) -> None:
        """Let as much time go by since `started` (time.monotonic) as one of the last answers took."""
        self._sleep(max(0.0, started + secrets.choice(tuple(self._durations)) - time.monotonic()))


def stand_in_certificate(kind: KeyKind, mark: bytes, now: datetime) -> x509.Certificate:
    """What the authorization server would have made, where it gave nothing to go by; valid for no time at all."""
    return make_certificate(_nobodys_authority(), Owner("nobody"), stand_in_key(kind, mark), now, now)


@functools.cache
def _nobodys_authority() -> Authority:
    # messages show its name only, and that is the name of the real one
    return make_authority(AUTHORITY_NAME, new_key("ec-p256"), datetime.now(UTC))
