"""KEKRecipientInfo: the content key wrapped with an AES key both sides have (RFC 5652 section 6.2.3, RFC 3565)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.reader import SEQUENCE, Reader


@dataclass(frozen=True)
class SharedKeyWrap:
    """A content key wrapped with a shared key.

    Attributes:
        identifier: which shared key.
        wrap_key_bytes: its length.
        encrypted_key: AES key wrap of the content key.
    """

    identifier: bytes
    wrap_key_bytes: int
    encrypted_key: bytes = field(repr=False)

    def unwrap(self, shared: SharedKey) -> bytes | None:
        """The content key, or None: AES key wrap is authenticated, so there is nothing to be learnt from a failure."""
        key = shared.key.reveal()
        if shared.identifier != self.identifier or len(key) != self.wrap_key_bytes:
            return None
        try:
            return aes_key_unwrap(key, self.encrypted_key)
        except (InvalidUnwrap, ValueError):
            return None


def read_shared_key_wrap(info: Reader) -> SharedKeyWrap | None:
    """Read a KEKRecipientInfo; None for a wrapping that is not AES key wrap.

    Args:
        info: inside its [2].

    Raises:
        ValueError: it cannot be read.
    """
    info.integer()
    named = info.enter()
    identifier = named.octets()  # a date and other attributes may follow; the identifier alone has to fit
    algorithm = info.enter(SEQUENCE).oid()
    encrypted_key = info.octets()
    info.finish()
    wrap_key_bytes = oids.KEY_WRAP_BYTES.get(algorithm)
    return SharedKeyWrap(identifier, wrap_key_bytes, encrypted_key) if wrap_key_bytes else None
