"""Errors of the servers behind the edge device, which arrive encrypted like every answer.

The draft has no such thing. The reference servers answer `{"error": 502}`, filled up with line feeds, so that neither the
edge device nor who watches it can tell an error from data; whoever decrypts it can.
"""

from __future__ import annotations

import re

from device_sdk.errors import BehindEdgeError
from device_sdk.model.urls import shown_url
from device_sdk.protocols.est.server_text import printable

# What JSON allows as white space and nothing else: another member, or another type, makes it a document.
_ERROR = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"error"[ \t\r\n]*:[ \t\r\n]*([45][0-9]{2})[ \t\r\n]*\}[ \t\r\n]*')
_HINTS = {
    403: "this registration may not read that: ask who runs the service",
    404: "there is nothing at that path",
}
_MAX_SHOWN_CHARS = 200
_SOUND = "the registration is sound"


def error_status(plaintext: bytes) -> int | None:
    """The status in a plaintext that is an error of the reference servers; None for any other.

    It is one if it is a JSON object whose only member is "error", an integer from 400 to 599.
    """
    found = _ERROR.fullmatch(plaintext)
    return int(found[1]) if found else None


def behind_edge(status: int, url: str, location: str | None = None) -> BehindEdgeError:
    """The error to raise for it; for a redirect with where it leads, which nobody follows here."""
    if status < 400:
        shown = printable(shown_url(location), _MAX_SHOWN_CHARS) if location else None
        return BehindEdgeError(
            f"{url}: the server behind the edge device answered {status}, and no redirect is followed",
            hint=f"{f'ask for {shown}' if shown else 'ask for another path'}; {_SOUND}",
            url=url,
            status_code=status,
            location=shown,
        )
    trouble = "the service behind the edge device is in trouble: try later" if status >= 500 else "the service refused"
    return BehindEdgeError(
        f"{url}: the server behind the edge device answered {status}",
        hint=f"{_HINTS.get(status, trouble)}; {_SOUND}",
        url=url,
        status_code=status,
    )
