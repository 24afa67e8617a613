"""KEKRecipientInfo: the content key wrapped with an AES key that the recipient has already (RFC 5652 section 6.2.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from pyasn1_alt_modules import rfc5652

_AES = "2.16.840.1.101.3.4.1."
_WRAP, _PADDED = {16: "5", 24: "25", 32: "45"}, {16: "8", 24: "28", 32: "48"}


@dataclass(frozen=True)
class Kek:
    """An AES key that both sides have.

    Attributes:
        identifier: what both call it.
        value: 16, 24 or 32 bytes.
        padded: whether it wraps with padding (RFC 5649).
    """

    identifier: bytes
    value: bytes = field(repr=False)
    padded: bool = False

    def recipient(self, content_key: bytes) -> Any:
        """The RecipientInfo."""
        info = rfc5652.RecipientInfo()
        wrapped = info["kekri"]
        wrapped["version"] = 4
        wrapped["kekid"]["keyIdentifier"] = self.identifier
        wrapped["keyEncryptionAlgorithm"]["algorithm"] = _AES + (_PADDED if self.padded else _WRAP)[len(self.value)]
        wrap = aes_key_wrap_with_padding if self.padded else aes_key_wrap
        wrapped["encryptedKey"] = wrap(self.value, content_key)
        return info
