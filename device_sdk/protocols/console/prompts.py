"""What a console shows, told from the last of what came."""

from __future__ import annotations

import re
from enum import Enum, auto

_LOGIN = re.compile(r"(?:^|\n)[^\n]{0,80}(?<![Ll]ast )login: *$")
_PASSWORD = re.compile(r"(?:^|\n)[^\n]{0,80}[Pp]assword: *$")
_NEW_PASSWORD = re.compile(
    r"(?:[Nn]ew|[Cc]urrent|[Oo]ld) (?:UNIX )?password: *$|must change your password|[Pp]assword has expired"
)
_INCORRECT = re.compile(r"[Ll]ogin incorrect|[Aa]uthentication failure|[Pp]ermission denied")
AUTOBOOT = re.compile(
    r"(?:Hit any key to stop|[Aa]utoboot in|stop autoboot|Press .{1,40} to (?:abort|stop|interrupt))[^\n]*$"
)
"""The countdown of a boot loader, while it goes on."""
_BOOT_PROMPT = re.compile(r"(?:^|\n)(?:=>|U-Boot>|[A-Za-z0-9_-]{1,24}=>|[A-Za-z0-9_-]{1,24} ?# ?>) ?$")
_LEFT_OVER = re.compile(r"(?:^|\n)[0-9a-f]{16} \?\n*$")
_SHELL = re.compile(r"(?:^|\n)[^\n]{0,160}[#$%>] ?$")
_LAST = 2048


class Shown(Enum):
    """What the end of a console's text looks like; only a marker proves a shell."""

    NOTHING = auto()
    LOGIN = auto()
    PASSWORD = auto()
    NEW_PASSWORD = auto()
    INCORRECT = auto()
    AUTOBOOT = auto()
    BOOT_PROMPT = auto()
    LEFT_OVER = auto()
    SHELL = auto()


_KINDS = (
    (_NEW_PASSWORD, Shown.NEW_PASSWORD),
    (_PASSWORD, Shown.PASSWORD),
    (_LOGIN, Shown.LOGIN),
    (AUTOBOOT, Shown.AUTOBOOT),
    (_BOOT_PROMPT, Shown.BOOT_PROMPT),
    (_LEFT_OVER, Shown.LEFT_OVER),
    (_SHELL, Shown.SHELL),
)


def shown(text: str) -> Shown:
    """What this text ends in."""
    end = text[-_LAST:]
    return next((kind for pattern, kind in _KINDS if pattern.search(end)), Shown.NOTHING)


def says_incorrect(text: str) -> bool:
    """Whether a login was refused somewhere in this text."""
    return _INCORRECT.search(text[-_LAST:]) is not None


def is_garbage(data: bytes) -> bool:
    """Whether this is what another baud rate makes of text: hardly any of it is text."""
    if len(data) < 8:
        return False
    good = sum(1 for byte in data if 0x20 <= byte < 0x7F or byte in b"\r\n\t\x1b")
    return good < 0.6 * len(data)
