"""What every key URI has in common; the grammars are in device_sdk.wire.key_uri."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from device_sdk.model.secret import Secret


class KeyUri(ABC):
    """A reference to a key, a token or a TPM.

    `str()` gives the canonical form without a PIN: it can be stored, logged and opened again.

    Attributes:
        pin_source: where the PIN is ("file:/run/pin" or a path), or None.
        pin_value: the PIN itself when the URI carried one, or None; never part of `str()` or `repr()`.
    """

    scheme: ClassVar[str]
    pin_source: str | None
    pin_value: Secret | None

    @abstractmethod
    def __str__(self) -> str: ...
