"""What may stand in an entry. Devices say what they like; nothing of it makes an entry large, unreadable or secret."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import islice

from device_sdk.errors import LedgerError, WrongDeviceError
from device_sdk.station.ledger.entry import canonical

MAX_SERIAL_CHARS = 64
MAX_WORD_CHARS = 200
MAX_FACTS_BYTES = 16 * 1024
_MAX_DEPTH = 4
_MAX_NAME_CHARS = 64
_MAX_INT = 2**53
_ROUNDS = ((2000, 64), (500, 32), (100, 16), (40, 4))  # characters of a text, items of a list
_TAKEN_OUT = "***"
_SECRET_WORDS = {
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pin",
    "puk",
    "secret",
    "secrets",
    "private",
    "psk",
    "otp",
}
_SECRET_WORDS |= {"credential", "credentials", "authvalue"}
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[^-]*-----(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY[^-]*-----|.*)", re.DOTALL
)
_KEY_WITHOUT_BEGINNING = re.compile(r"^.*-----END [A-Z0-9 ]*PRIVATE KEY[^-]*-----", re.DOTALL)
_PIN_VALUE = re.compile(r"(pin-value=)[^&;\s'\"]*", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether what has this name would be a secret: "password", "userPin", "wifi-psk"."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name[:_MAX_NAME_CHARS])
    return any(word.lower() in _SECRET_WORDS for word in words)


def serial_number(text: str) -> str:
    """A serial number as the ledger takes it: as it is, or not at all.

    Raises:
        WrongDeviceError: empty, longer than 64 characters, not printable, or with spaces around it.
    """
    if not text or len(text) > MAX_SERIAL_CHARS or not text.isprintable() or text != text.strip():
        raise WrongDeviceError(
            f"a device calls itself {text[:MAX_SERIAL_CHARS]!a}, which cannot be a serial number",
            hint="1 to 64 printable characters: look at what the device or the profile takes it from",
        )
    return text


def word(text: str | None) -> str | None:
    """A line, run, step or outcome: one printable line of at most 200 characters."""
    return None if text is None else _clean(text, MAX_WORD_CHARS).replace("\n", " ").replace("\t", " ")


def bounded(facts: Mapping[str, object]) -> dict[str, object]:
    """Facts as they go into an entry: at most 16 KiB of JSON; what is too long is cut, what looks secret taken out.

    Raises:
        LedgerError: a name of the outermost level is that of a secret, or a value is no JSON. Both are the caller's doing, never
            the device's.
    """
    for name in facts:
        if is_secret_name(name):
            raise LedgerError(
                f"{name!r} is the name of a secret, and those are not kept", hint="leave it out of the facts"
            )
    for characters, items in _ROUNDS:
        result = _Cutter(characters, items).mapping(facts, 0)
        if len(canonical(result)) <= MAX_FACTS_BYTES:
            return result
    return {"cut": "the facts were too many"}


class _Cutter:
    """Makes values small; what it looks at is bounded, too."""

    def __init__(self, characters: int, items: int) -> None:
        self._characters, self._items = characters, items
        self._left = 4 * MAX_FACTS_BYTES

    def mapping(self, value: Mapping[str, object], depth: int) -> dict[str, object]:
        """Names and values; what has the name of a secret loses its value."""
        return {
            _clean(str(name), _MAX_NAME_CHARS): _TAKEN_OUT if is_secret_name(str(name)) else self._value(one, depth + 1)
            for name, one in islice(value.items(), self._items)
        }

    def _value(self, value: object, depth: int) -> object:
        self._left -= 8
        if self._left < 0:
            return "cut"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return _number(value)
        if isinstance(value, str):
            self._left -= min(len(value), self._characters)
            return _clean(value, self._characters)
        return self._several(value, depth)

    def _several(self, value: object, depth: int) -> object:
        if not isinstance(value, Mapping | list | tuple):
            raise LedgerError(f"a {type(value).__name__} cannot stand in an entry", hint="facts are what JSON has")
        if depth == _MAX_DEPTH:
            return "cut"
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        return [self._value(one, depth + 1) for one in islice(value, self._items)]


def _number(value: float) -> object:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else str(value)
    return int(value) if abs(value) <= _MAX_INT else "a huge number"


def _clean(text: str, limit: int) -> str:
    """Printable characters, line feeds and tabs; without private keys and PINs; not longer than the limit."""
    text = text[: 4 * limit + 8192]
    for pattern in (_PRIVATE_KEY, _KEY_WITHOUT_BEGINNING):
        text = pattern.sub("(a private key was taken out)", text)
    text = _PIN_VALUE.sub(rf"\1{_TAKEN_OUT}", text)
    clean = "".join(char if char.isprintable() or char in "\n\t" else "?" for char in text)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."
