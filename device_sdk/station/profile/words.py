"""${name} in texts of a profile: what stands for a device's own words, and where they may go.

A device is hostile until it has proved itself, and its words are data: they replace a part of one text. What they go into (a
string of TOML, one argument of a command, one variable) has its own limits in `template` and `steps`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from device_sdk.errors import WrongDeviceError

NAMES = (
    "serial_number",
    "mac",
    "model",
    "line",
    "station",
    "profile",
    "version",
    "key_uri",
    "certificate_sha256",
    "certificate_serial",
)
OF_CERTIFICATE = frozenset({"certificate_sha256", "certificate_serial"})
"""What is known only when the device has proved a certificate."""
MAX_WORD = 256

PLACE = re.compile(r"\$\{([^}]*)\}|\$\$")
"""${name}, with the name as the first group, or "$$"."""
_EXTRA = re.compile(r"extra\.(?:[A-Za-z0-9_-]{1,64}|boot-loader\.(?:ethaddr|serial#))")


def unknown_name(text: str) -> str | None:
    """The first ${name} of a text that nothing stands for; None if there is none."""
    return next((name for name in places(text) if name not in NAMES and not _EXTRA.fullmatch(name)), None)


def places(text: str) -> Iterator[str]:
    """The names of all ${name} of a text."""
    return (found[1] for found in PLACE.finditer(text) if found[1] is not None)


def filled(text: str, words: Mapping[str, str], written: Callable[[str], str] = str) -> str:
    """A text with every ${name} replaced, once: what comes in is not looked at again. "$$" stands for "$".

    Args:
        text: with places.
        words: what stands for them.
        written: how a word is written where the text has a syntax of its own.

    Raises:
        WrongDeviceError: the device did not say one of them, or said more than 256 characters, or control characters.
    """

    def word(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return "$"
        value = words.get(name)
        if not value:
            raise WrongDeviceError(f"the profile needs ${{{name}}}, and this device does not say it")
        if len(value) > MAX_WORD or not value.isprintable():
            raise WrongDeviceError(f"what this device says for ${{{name}}} is too long, or holds control characters")
        return written(value)

    return PLACE.sub(word, text)
