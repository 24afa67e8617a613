"""KEKRecipientInfo: the content key wrapped with an AES key both sides have (RFC 5652 section 6.2.3, RFC 3565)."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.model.held_key import HeldKey
from device_sdk.model.shared_key import SharedKey
from device_sdk.model.wiping import passing
from device_sdk.wire.cms.reader import SEQUENCE, Reader
from device_sdk.wire.cms.wrapping import KeyWrap, read_key_wrap


@dataclass(frozen=True)
class SharedKeyWrap:
    """A content key wrapped with a shared key.

    Attributes:
        identifier: which shared key.
        wrap: how it wraps, and its length.
        encrypted_key: AES key wrap of the content key.
    """

    identifier: bytes
    wrap: KeyWrap
    encrypted_key: bytes = field(repr=False)

    def unwrap(self, shared: SharedKey | HeldKey) -> bytes | None:
        """The content key, or None: AES key wrap is authenticated, so there is nothing to be learnt from a failure.

        Raises:
            KeyStoreError: the token or TPM that holds the key could not be used, or may not use it so.
        """
        if shared.identifier != self.identifier or shared.key_bytes != self.wrap.key_bytes:
            return None
        if isinstance(shared, HeldKey):
            return passing(shared.unwrap(self.encrypted_key, padded=self.wrap.padded))
        return self.wrap.unwrap(shared.key.reveal(), self.encrypted_key)


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
    wrap = read_key_wrap(info.enter(SEQUENCE))
    encrypted_key = info.octets()
    info.finish()
    return SharedKeyWrap(identifier, wrap, encrypted_key) if wrap else None
