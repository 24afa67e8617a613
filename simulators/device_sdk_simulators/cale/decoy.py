"""Keys for those who have none: a decoy is a real message for a key that nobody has (CALE-24, CALE-35 to CALE-38)."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import math
import os
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.answer_sizes import AnswerSizes
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME, Owner, make_certificate
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.draft_decoy import DRAFT_DECOY
from device_sdk_simulators.cale.envelope import ciphertext_length, seal
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.bodies import wrap
from device_sdk_simulators.policy import Policy

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
KeyKind: TypeAlias = int | ec.EllipticCurve
"""Bits of an RSA key, or a curve."""

DEFAULT_KIND: KeyKind = 2048
_ANSWERS = 256
_ALIKE = 16
_MOST = 4096
_PRIME_FLOOR = math.isqrt(2**127) + 1
_SPIN_S = 0.0002
K = TypeVar("K")
V = TypeVar("V")


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
        return rsa.RSAPublicNumbers(65537, _modulus_like(kind, mark)).public_key()
    number = int.from_bytes(hashlib.shake_256(mark).digest((kind.key_size + 7) // 8))
    # one bit less than the curve's: below its order
    return ec.derive_private_key(number & ((1 << (kind.key_size - 1)) - 1) | 1, kind).public_key()


def _modulus_like(bits: int, mark: bytes) -> int:
    """An odd number of so many bits, as large as products of two primes are.

    Who asks often enough sees how large a modulus is: no encrypted key is larger. Primes are made between 2^(k-1/2) and 2^k
    (FIPS 186-5 appendix A.1.3), so moduli are rarely near the ends of their range.
    """
    digest = hashlib.shake_256(mark).digest(16 + (bits + 7) // 8)
    factors = (_PRIME_FLOOR + (int.from_bytes(digest[at : at + 8]) * (2**64 - _PRIME_FLOOR) >> 64) for at in (0, 8))
    top = math.prod(factors)
    rest = int.from_bytes(digest[16:]) & ((1 << (bits - 128)) - 1)
    return top << (bits - 128) | rest | 1


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
        self._sizes = AnswerSizes(database, lambda: policy.cale.padding)
        self._secret = database.secret("strangers of the edge device")
        self._policy = policy
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._durations: OrderedDict[str, deque[tuple[float, float]]] = OrderedDict()
        self._kinds: OrderedDict[bytes, KeyKind] = OrderedDict()

    def learn(self, path: str, message: bytes) -> None:
        """Remember how long a real answer is, in bytes; ValueError for what is no envelope."""
        length, aead = ciphertext_length(message)
        self._sizes.learn(path, length, aead=aead)

    def took(self, path: str, validation_s: float, answer_s: float) -> None:
        """Remember how long the validation of a real request took, and then its answer."""
        with self._lock:
            for key in (path, ""):
                _kept(self._durations, key, lambda: deque(maxlen=_ANSWERS)).append((validation_s, answer_s))

    def remember(self, guid: str, certificate: x509.Certificate) -> None:
        """Remember the kind of key behind a GUID, for times when the authorization server does not say."""
        public_key = certificate.public_key()
        if isinstance(public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
            with self._lock:
                kind = kind_of(public_key)
                mark = mark_of(self._secret, guid)
                _kept(self._kinds, mark, lambda: kind)
                self._kinds[mark] = kind

    def make(self, path: str, guid: str, like: x509.Certificate | None, cipher: ContentCipher) -> bytes:
        """Base64 of a message for nobody, in lines.

        Args:
            path: of the request.
            guid: as the stranger sent it.
            like: a certificate of a key that nobody has; None if the authorization server gave none.
            cipher: of the connection.
        """
        if self._policy.cale.decoys == "draft":
            return wrap(DRAFT_DECOY, 64, b"\n")
        mark = mark_of(self._secret, guid)
        if like is None:
            with self._lock:
                kind = self._kinds.get(mark, DEFAULT_KIND)
            like = stand_in_certificate(kind, mark, self._clock())
        plaintext = os.urandom(self._sizes.plaintext_length(path, mark, aead=cipher.aead))
        message = seal(plaintext, like, cipher, hardened=self._policy.cale_hardened)
        return wrap(base64.b64encode(message), 64, b"\n")

    def due(self, path: str, started: float, validated: float | None) -> float:
        """When a decoy may leave (time.monotonic): after as much time as one of the last answers on this path took.

        Args:
            path: of the request.
            started: when it came (time.monotonic).
            validated: when the authorization server had answered; None if it was not asked, or gave no answer. A validation
                takes as long for strangers, so that only the time after it has to be made up.
        """
        with self._lock:
            known = tuple(self._durations.get(path, ()) or self._durations.get("", ()) or ((0.0, 0.0),))
        if validated is None:
            return started + sum(secrets.choice(known))
        # what slows a validation slows the answer to it: one of those that were like this one
        alike = sorted(known, key=lambda one: abs(one[0] - (validated - started)))[:_ALIKE]
        return validated + secrets.choice(alike)[1]

    def wait(self, started: float, due: float) -> None:
        """Wait until an answer is due, and then, where there are slots, for the next multiple of the slot.

        In one sleep: after two of them a decoy would be nearer to the slot than an answer, which comes there from work.
        """
        slot = self._policy.cale.slot_s
        if slot > 0:
            elapsed = max(due, time.monotonic()) - started
            due = started + slot * math.ceil(elapsed / slot)
        self._sleep_until(due)

    def _sleep_until(self, target: float) -> None:
        self._sleep(max(0.0, target - _SPIN_S - time.monotonic()))
        while time.monotonic() < target:
            # a sleep ends late by as much as would tell a decoy in a few hundred requests
            pass

    def tag(self, guid: str) -> str:
        """What stands for a GUID in the log."""
        return hmac.digest(self._secret, b"log\0" + guid.lower().encode(), "sha256").hex()[:16]


def _kept(memory: OrderedDict[K, V], key: K, new: Callable[[], V]) -> V:
    """The value of a key, moved to the end; what was not used for longest is forgotten."""
    if key not in memory:
        memory[key] = new()
    memory.move_to_end(key)
    if len(memory) > _MOST:
        memory.popitem(last=False)
    return memory[key]


def stand_in_certificate(kind: KeyKind, mark: bytes, now: datetime) -> x509.Certificate:
    """What the authorization server would have made, where it gave nothing to go by; valid for no time at all."""
    return make_certificate(_nobodys_authority(), Owner("nobody"), stand_in_key(kind, mark), now, now)


@functools.cache
def _nobodys_authority() -> Authority:
    # messages show its name only, and that is the name of the real one
    return make_authority(AUTHORITY_NAME, new_key("ec-p256"), datetime.now(UTC))
