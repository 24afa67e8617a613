"""From a password to keys: PBKDF2 (RFC 8018) and the older way of RFC 7292 appendix B; never beyond what it may cost (B-05)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.wire.cms.reader import INTEGER, OCTET_STRING, SEQUENCE, Reader

HMACS = {
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}
"""HMAC with a hash, by its object identifier (RFC 8018 appendix B.1.2)."""
FOR_KEY, FOR_IV, FOR_MAC = 1, 2, 3
"""What material is for (RFC 7292 appendix B.3)."""

_PBKDF2 = "1.2.840.113549.1.5.12"
_MAX_SALT_BYTES = 1024
_MIN_MAC_KEY_BYTES, _MAX_MAC_KEY_BYTES = 20, 256
_DERIVATIONS = 4


class LegacyError(ValueError):
    """An algorithm that is taken only where the caller says so."""


class CostlyError(ValueError):
    """More iterations than a file may cost."""


@dataclass
class Derivations:
    """All derivations for one file, which share what they may cost.

    Attributes:
        policy: the password, and the bounds.
    """

    policy: Pkcs12Policy
    _left: int = field(init=False)

    def __post_init__(self) -> None:
        self._left = _DERIVATIONS * self.policy.max_iterations

    def require(self, hash_name: str) -> str:
        """The hash, if it may be used; LegacyError for SHA-1 where that is not allowed."""
        if hash_name == "sha1" and not self.policy.allow_legacy:
            raise LegacyError("it uses SHA-1")
        return hash_name

    def pbkdf2(self, algorithm: Reader, key_bytes: int | None) -> bytes:
        """A key by the AlgorithmIdentifier of PBKDF2.

        Args:
            algorithm: standing at its object identifier.
            key_bytes: the length it has to have; None for the one the parameters have to name, 20 bytes or more (RFC 9579
                sections 4 and 9).

        Raises:
            ValueError: other parameters, or too many iterations; nothing was derived then.
        """
        if algorithm.oid() != _PBKDF2:
            raise ValueError("a derivation other than PBKDF2")
        members = algorithm.enter()
        algorithm.finish()
        salt, iterations = members.octets(OCTET_STRING), members.integer()
        named = members.integer() if members.next_tag == INTEGER else None
        hash_name = "sha1"
        if members.next_tag == SEQUENCE:
            hash_name = HMACS.get(members.enter().oid(), "")
        if not self.require(hash_name):
            raise ValueError("an unknown pseudorandom function")
        length = named if key_bytes is None else key_bytes
        if length is None or named not in (None, length):
            raise ValueError("a length of the key that does not fit")
        if key_bytes is None and not _MIN_MAC_KEY_BYTES <= length <= _MAX_MAC_KEY_BYTES:
            raise ValueError("a length of the key that does not fit")
        # each block of the key costs all iterations (RFC 8018 section 5.2)
        self._spend(salt, iterations, -(-length // hashlib.new(hash_name, usedforsecurity=False).digest_size))
        return hashlib.pbkdf2_hmac(hash_name, self.policy.password.reveal(), salt, iterations, length)

    def pkcs12(
        self, hash_name: str, salt: bytes, iterations: int, purpose: int, length: int
    ) -> bytes:  # the inputs of appendix B.2
        """Material as RFC 7292 appendix B.2 derives it, from the password as BMPString with two zero octets behind it."""
        self._spend(salt, iterations)
        block = hashlib.new(hash_name, usedforsecurity=False).block_size
        password = self.policy.password.reveal().decode().encode("utf-16-be") + b"\0\0"
        diversifier = bytes([purpose]) * block
        inputs = _stretched(salt, block) + _stretched(password, block)
        found = b""
        while len(found) < length:
            value = diversifier + inputs
            for _ in range(iterations):
                value = hashlib.new(hash_name, value, usedforsecurity=False).digest()
            found += value
            addend = int.from_bytes((value * block)[:block], "big") + 1
            inputs = b"".join(
                ((int.from_bytes(inputs[at : at + block], "big") + addend) % (1 << 8 * block)).to_bytes(block, "big")
                for at in range(0, len(inputs), block)
            )
        return found[:length]

    def _spend(self, salt: bytes, iterations: int, blocks: int = 1) -> None:
        if not 1 <= len(salt) <= _MAX_SALT_BYTES:
            raise ValueError("a salt of no bytes, or of too many")
        if iterations < 1:
            raise ValueError("no iterations")
        if iterations > self.policy.max_iterations or iterations * blocks > self._left:
            raise CostlyError(
                f"{iterations} iterations to derive a key, of {self.policy.max_iterations} that are allowed"
            )
        self._left -= iterations * blocks


def _stretched(text: bytes, block: int) -> bytes:
    """As many copies as fill whole blocks."""
    size = block * -(-len(text) // block)
    return (text * (size // len(text) + 1))[:size] if text else b""
