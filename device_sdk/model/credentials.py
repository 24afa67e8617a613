"""A user name and password for HTTP authentication."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret


@dataclass(frozen=True)
class Credentials:
    """What answers an HTTP challenge once the server is authorized (RFC 7030 section 3.2.3).

    Attributes:
        user: user name, sent as UTF-8; may be empty (EST-85); a colon or a control character is a ConfigurationError,
            as RFC 7617 section 2 cannot carry them.
        password: the password's bytes, UTF-8 unless the server wants something else.
    """

    user: str
    password: Secret

    def __post_init__(self) -> None:
        if ":" in self.user:
            raise ConfigurationError("a user name for HTTP authentication cannot hold a colon")
        if any(ord(char) < 32 or ord(char) == 127 for char in self.user):
            raise ConfigurationError("a user name for HTTP authentication cannot hold control characters")
