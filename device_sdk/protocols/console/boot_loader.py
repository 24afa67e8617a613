"""What U-Boot says, and what it may be told."""

from __future__ import annotations

import re

from device_sdk.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9_.#-]{1,64}")
_PLAIN = re.compile(r"[A-Za-z0-9_.:/,=+@ -]*")
_VALUE = re.compile(r"[\x20-\x7e]{0,256}")


def variable(text: str, name: str) -> str | None:
    """The value that `printenv NAME` showed, at most 256 printable characters; None if there is none."""
    found = re.search(rf"^{re.escape(name)}=([\x20-\x7e]{{1,256}})$", text, re.MULTILINE)
    return found[1].strip() if found else None


def print_command(name: str) -> str:
    """The command that shows a variable; raises ConfigurationError."""
    return f"printenv {_checked(name)}"


def set_command(name: str, value: str) -> str:
    """The command that sets a variable; nothing in the value is expanded.

    Raises:
        ConfigurationError: the name or the value holds what U-Boot's shell would take for something else.
    """
    if not _VALUE.fullmatch(value) or "'" in value:
        raise ConfigurationError(
            f"{name}: {value!r} cannot be a value in U-Boot: printable characters, no quote, at most 256"
        )
    quote = "" if _PLAIN.fullmatch(value) else "'"
    return f"setenv {_checked(name)} {quote}{value}{quote}".rstrip()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no variable of U-Boot's")
    return name
