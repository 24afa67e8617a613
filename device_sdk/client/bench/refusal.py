"""A device's own error, as `device-sdk --json` prints it."""

from __future__ import annotations

from collections.abc import Mapping

from device_sdk.errors import DeviceSaysError

_LONGEST = 1024


def refusal(value: object, what: str, status: int | None = None) -> DeviceSaysError:
    """The error for what a device refused: code, message and hint are its words, printable and bounded.

    Args:
        value: the object under "error"; anything else is a refusal without words.
        what: what it was asked for, for the message.
        status: the exit status of its command, where there was one.
    """
    facts: Mapping[object, object] = value if isinstance(value, Mapping) else {}
    message = _words(facts.get("message")) or (f"exit status {status}" if status is not None else "no reason given")
    return DeviceSaysError(
        f"{what}: the device says: {message}",
        hint=_words(facts.get("hint")) or None,
        device_code=_words(facts.get("code")) or None,
        device_exit=status,
    )


def _words(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in value[:_LONGEST]).strip()
