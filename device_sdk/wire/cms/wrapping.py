"""AES key wrap, with padding and without, around content keys (RFC 3394, RFC 5649)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)

from device_sdk.model.wiping import passing
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.reader import Reader


@dataclass(frozen=True)
class KeyWrap:
    """A key wrap algorithm.

    Attributes:
        key_bytes: length of the key that wraps.
        padded: by RFC 5649.
    """

    key_bytes: int
    padded: bool = False

    @property
    def name(self) -> str:
        """As policies have it."""
        return f"aes-{8 * self.key_bytes}-wrap{'-pad' if self.padded else ''}"

    def wrap(self, key: bytes, value: bytes) -> bytes:
        """Wrap a key with `key`, which has the algorithm's length."""
        return (aes_key_wrap_with_padding if self.padded else aes_key_wrap)(key, value)

    def unwrap(self, key: bytes, wrapped: bytes) -> bytes | None:
        """What was wrapped, or None: key wrap is authenticated, so there is nothing to be learnt from a failure."""
        try:
            return passing((aes_key_unwrap_with_padding if self.padded else aes_key_unwrap)(key, wrapped))
        except (InvalidUnwrap, ValueError):
            return None


def read_key_wrap(algorithm: Reader) -> KeyWrap | None:
    """Read a key wrap's AlgorithmIdentifier; None for one that is not supported.

    Args:
        algorithm: inside its SEQUENCE.

    Raises:
        ValueError: it cannot be read.
    """
    name = algorithm.oid()
    if name in oids.KEY_WRAP_BYTES:
        return KeyWrap(oids.KEY_WRAP_BYTES[name])
    return KeyWrap(oids.PADDED_WRAP_BYTES[name], padded=True) if name in oids.PADDED_WRAP_BYTES else None
