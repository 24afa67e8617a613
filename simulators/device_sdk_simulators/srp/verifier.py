"""What a server keeps instead of a password (RFC 5054 section 2.4), and what it shows where there is no user."""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

from device_sdk_simulators.srp.saslprep import saslprep

# RFC 5054 appendix A, 3072-bit group
GENERATOR = 5
PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7D"
    "B3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"
    "BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    16,
)
_PRIME_BYTES = 384
_SALT_BYTES = 16
_MAX_NAME_BYTES = 255


@dataclass(frozen=True)
class Verifier:
    """One user's salt and verifier, both as the handshake uses them: big-endian, the salt without a leading zero byte."""

    salt: bytes
    value: bytes

    @classmethod
    def of(cls, name: str, password: str) -> Verifier:
        """For a prepared user name and password, with a new salt."""
        salt = _without_leading_zero(os.urandom(_SALT_BYTES))
        inner = hashlib.sha1(f"{name}:{password}".encode(), usedforsecurity=False).digest()
        exponent = int.from_bytes(hashlib.sha1(salt + inner, usedforsecurity=False).digest())
        return cls(salt, pow(GENERATOR, exponent, PRIME).to_bytes(_PRIME_BYTES))

    @classmethod
    def of_nobody(cls, name: str, seed: bytes) -> Verifier:
        """The same at every time for a name that has no user (RFC 5054 section 2.5.1.3); fits no password.

        A number without known logarithm costs no exponentiation, so this takes no longer than finding a real one.
        """
        salt = hmac.digest(seed, b"salt" + name.encode(), "sha256")[:_SALT_BYTES]
        stream = hashlib.shake_256(hmac.digest(seed, b"verifier" + name.encode(), "sha256")).digest(_PRIME_BYTES + 16)
        value = int.from_bytes(stream) % (PRIME - 1) + 1
        return cls(_without_leading_zero(salt), value.to_bytes(_PRIME_BYTES))


def _without_leading_zero(salt: bytes) -> bytes:
    # OpenSSL keeps salts as numbers and would send a shorter one
    return bytes([salt[0] | 0x80]) + salt[1:]


def prepared(name: str, password: str) -> tuple[str, str]:
    """User name and password as both sides compute with them (RFC 5054 section 2.3); ValueError."""
    name, password = saslprep(name), saslprep(password)
    if not 1 <= len(name.encode()) <= _MAX_NAME_BYTES or ":" in name:
        raise ValueError(f"a user name for SRP has 1 to {_MAX_NAME_BYTES} bytes and no colon")
    if not password:
        raise ValueError("an empty password")
    return name, password
