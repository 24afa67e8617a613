"""A symmetric key that this side and somebody else were given beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret

KEY_BYTES = (16, 24, 32)


@dataclass(frozen=True)
class SharedKey:
    """An AES key for wrapping other keys, and the name both sides know it by (RFC 4108 section 2.2.5).

    Attributes:
        identifier: 1 to 64 bytes without a structure of their own.
        key: 16, 24 or 32 bytes.

    Raises:
        ConfigurationError: another length of either.
    """

    identifier: bytes
    key: Secret = field(repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.identifier) <= 64:
            raise ConfigurationError("the identifier of a shared key has 1 to 64 bytes")
        if len(self.key.reveal()) not in KEY_BYTES:
            raise ConfigurationError("a shared key for AES has 16, 24 or 32 bytes")

    @property
    def key_bytes(self) -> int:
        """Length of the key."""
        return len(self.key.reveal())
