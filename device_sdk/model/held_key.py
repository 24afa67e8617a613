"""A symmetric key that stays where it is kept, and what it may be asked to do there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from device_sdk.errors import MechanismUnsupportedError
from device_sdk.model.symmetric_keys import KeyUsage


class HeldKey(ABC):
    """A key in a token or TPM. What it is not for it does not do (RFC 6031 section 3.3.4; K-11).

    Every operation raises KeyStoreError or one of its subclasses, and nothing else.

    Args:
        uri: canonical, without a PIN.
        identifier: the name both sides know it by, which messages use.
        key_bytes: its length; 0 if the token does not say.
        is_aes: whether it is an AES key.
        usages: the only things it may be used for.
    """

    def __init__(
        self, uri: str, identifier: bytes, key_bytes: int, usages: frozenset[KeyUsage], *, is_aes: bool
    ) -> None:
        self.uri, self.identifier, self.key_bytes, self.usages, self.is_aes = uri, identifier, key_bytes, usages, is_aes

    def unwrap(self, wrapped: bytes, *, padded: bool) -> bytes | None:
        """A key that was wrapped with this one (RFC 3394; `padded`: RFC 5649); None if it was another, or is damaged.

        Raises:
            MechanismUnsupportedError: no AES key, or it may not be used for KeyUsage.UNWRAP.
            KeyStoreError: the token or TPM could not be used.
        """
        self.require(KeyUsage.UNWRAP, "unwrap keys", aes=True)
        if len(wrapped) % 8 or not (16 if padded else 24) <= len(wrapped) <= 4096:
            return None
        return self._unwrap(wrapped, padded=padded)

    def decrypt_cbc(self, vector: bytes, ciphertext: bytes) -> bytes:
        """Whole blocks of AES-CBC, padding included.

        Raises:
            ValueError: no whole blocks, or a vector of another length than 16.
            MechanismUnsupportedError: no AES key, or it may not be used for KeyUsage.DECRYPT.
            KeyStoreError: the token or TPM could not be used.
        """
        self.require(KeyUsage.DECRYPT, "decrypt", aes=True)
        if len(vector) != 16 or len(ciphertext) % 16:
            raise ValueError("not whole blocks")
        return self._decrypt_cbc(vector, ciphertext) if ciphertext else b""

    def require(self, usage: KeyUsage, what: str, *, aes: bool = False) -> None:
        """Make sure that the key may be used for something.

        Raises:
            MechanismUnsupportedError: it may not.
        """
        if usage not in self.usages:
            may = ", ".join(sorted(one.value for one in self.usages)) or "nothing"
            raise MechanismUnsupportedError(
                f"{self.uri}: the key may not be used to {what}; it is for: {may}", uri=self.uri, mechanism=usage.value
            )
        if aes and not self.is_aes:
            raise MechanismUnsupportedError(
                f"{self.uri}: no AES key, so it does not {what}", uri=self.uri, mechanism=usage.value
            )

    @abstractmethod
    def _unwrap(self, wrapped: bytes, *, padded: bool) -> bytes | None: ...

    @abstractmethod
    def _decrypt_cbc(self, vector: bytes, ciphertext: bytes) -> bytes: ...

    @abstractmethod
    def close(self) -> None:
        """Stop using the key."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.uri})"
