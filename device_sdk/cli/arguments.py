"""What must not stand in the arguments of a process, where every user of the machine can read it."""

from __future__ import annotations

import argparse
import re

from device_sdk.errors import ConfigurationError
from device_sdk.model.urls import has_userinfo

_PIN = re.compile(r"[?&]pin-value=", re.IGNORECASE)
_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/]*@", re.IGNORECASE)


def refuse_secrets(options: argparse.Namespace) -> None:
    """Refuse PINs in key URIs and passwords in URLs given as arguments; settings and variables may have them.

    Raises:
        ConfigurationError: there is one; the message does not repeat it.
    """
    for name, value in vars(options).items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and _PIN.search(text):
                raise ConfigurationError(
                    "a PIN in an argument can be read by every user of this machine and was not used",
                    hint="name its file in the URI (pin-source=file:...), or give --key-pin-file or DEVICE_SDK_KEY_PIN",
                )
            bare = name.endswith("proxy") and isinstance(text, str) and has_userinfo(text)
            if bare or (isinstance(text, str) and _PASSWORD.match(text)):
                raise ConfigurationError(
                    "a user name or password in the URL of an argument can be read by every user of this machine",
                    hint="for the server give --user and --password-file; for a proxy set HTTPS_PROXY",
                )


def without_secrets(value: object) -> object:
    """A setting's value fit to be shown: no PIN in a key URI, no user and password in a URL."""
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    if not isinstance(value, str):
        return value
    shown = re.sub(r"([?&]pin-value=)[^&]*", r"\1***", value, flags=re.IGNORECASE)
    return re.sub(r"(://)[^/]*@", r"\1***@", shown)
