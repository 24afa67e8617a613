"""Keys of nobody, and certificates for them: what decoys are encrypted to (CALE-36)."""

from __future__ import annotations

import functools
import hashlib
import hmac
import math
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME, Owner, make_certificate

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
KeyKind: TypeAlias = int | ec.EllipticCurve
"""Bits of an RSA key, or a curve."""

DEFAULT_KIND: KeyKind = 2048
_PRIME_FLOOR = math.isqrt(2**127) + 1


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


def stand_in_certificate(
    public_key: PublicKey, now: datetime, capabilities: x509.UnrecognizedExtension | None = None
) -> x509.Certificate:
    """What the authorization server would have made, where it gave nothing to go by; valid for no time at all."""
    return make_certificate(_nobodys_authority(), Owner("nobody"), public_key, now, now, capabilities)


@functools.cache
def _nobodys_authority() -> Authority:
    # messages show its name only, and that is the name of the real one
    return make_authority(AUTHORITY_NAME, new_key("ec-p256"), datetime.now(UTC))
