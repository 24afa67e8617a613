"""Which PKCS#12 files are opened, and with which password."""

from __future__ import annotations

from dataclasses import dataclass, field

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret

MAX_ITERATIONS = 1_000_000
"""Of one derivation; a file may have four as long as this in all."""


@dataclass(frozen=True)
class Pkcs12Policy:
    """How a PKCS#12 file is opened (RFC 7292; B-05).

    Attributes:
        password: text in UTF-8; how both sides came to know it is their own affair (B-04).
        allow_legacy: take SHA-1 and 3DES as well; RC2 is never taken.
        max_iterations: the most that one derivation of a key from the password may cost.

    Raises:
        ConfigurationError: a password that is empty or no text, or no iterations at all.
    """

    password: Secret = field(repr=False)
    allow_legacy: bool = False
    max_iterations: int = MAX_ITERATIONS

    def __post_init__(self) -> None:
        try:
            text = self.password.reveal().decode()
        except UnicodeDecodeError:
            text = ""
        if not text or "\0" in text:
            raise ConfigurationError("the password of a PKCS#12 file is a text in UTF-8, and not empty")
        if self.max_iterations < 1:
            raise ConfigurationError("max_iterations has to be 1 or more")
