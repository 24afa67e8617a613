"""The keys OpenSSL knows by number, and what it asks about them."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.model.keys import PrivateKey, PublicKey

EC, RSA = 1, 2
GROUPS = {"secp256r1": b"prime256v1", "secp384r1": b"secp384r1", "secp521r1": b"secp521r1"}
_CURVE_NUMBERS = {"secp256r1": 1, "secp384r1": 2, "secp521r1": 3}


class KeyData(ctypes.Structure):
    """What OpenSSL holds of a key: its number here (0 = public only), its kind, and a digest of its public half."""

    _fields_ = (
        ("number", ctypes.c_uint64),
        ("kind", ctypes.c_int),
        ("curve", ctypes.c_int),
        ("public", ctypes.c_ubyte * 32),
    )


class KeyTable:
    """Key objects by number; a key is there as long as the SSLContext that uses it."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._keys: dict[int, PrivateKey] = {}
        self._tokens: dict[bytes, int] = {}

    def add(self, key: PrivateKey) -> int:
        """Number of a key, from now on known to OpenSSL."""
        number = next(self._numbers)
        self._keys[number] = key
        return number

    def remove(self, number: int) -> None:
        """Forget a key; removing twice is no error."""
        self._keys.pop(number, None)

    def get(self, number: int) -> PrivateKey:
        """The key of a number."""
        return self._keys[number]

    @contextmanager
    def token(self, number: int) -> Iterator[bytes]:
        """16 random bytes that stand for the key while it is being loaded."""
        token = secrets.token_bytes(16)
        self._tokens[token] = number
        try:
            yield token
        finally:
            del self._tokens[token]

    @property
    def loading(self) -> bool:
        """Whether anybody is loading a key right now."""
        return bool(self._tokens)

    def number_of(self, token: bytes) -> int | None:
        """The key a token stands for, or None."""
        return self._tokens.get(token)

    def __len__(self) -> int:
        return len(self._keys)


KEYS = KeyTable()


def kind_of(key: PrivateKey | PublicKey) -> int:
    """EC or RSA."""
    return RSA if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else EC


def describe(data: KeyData, public_key: PublicKey) -> None:
    """Fill in digest and curve of a public key."""
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    data.public[:] = hashlib.sha256(spki).digest()
    data.curve = curve_number(public_key.curve) if isinstance(public_key, ec.EllipticCurvePublicKey) else 0


def curve_number(curve: ec.EllipticCurve) -> int:
    """A number for comparing curves; KeyError for one that TLS is not offered with."""
    return _CURVE_NUMBERS[curve.name]


def signature_size(public_key: PublicKey) -> int:
    """Longest signature in bytes: the modulus, or a DER ECDSA-Sig-Value."""
    size = (public_key.key_size + 7) // 8
    return size if isinstance(public_key, rsa.RSAPublicKey) else 2 * (size + 4) + 4


def security_bits(public_key: PublicKey) -> int:
    """Strength by NIST SP 800-57 part 1 table 2; OpenSSL compares it with its security level."""
    bits = public_key.key_size
    if not isinstance(public_key, rsa.RSAPublicKey):
        return bits // 2
    return next((strength for limit, strength in ((2048, 80), (3072, 112), (7680, 128)) if bits < limit), 192)
