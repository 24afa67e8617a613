"""Writes a whole HTTP response as data: Binary HTTP (RFC 9292), the known-length form.

For clients that take it (see `capabilities.takes_responses`): status and header fields of a service reach them, encrypted, and
the filling is behind the content, so that it can be taken away and every type of content can be filled up (CALE-37).
"""

from __future__ import annotations

import re

from device_sdk_simulators.http.messages import Headers, Response

BINARY_HTTP = "2.25.288436305081144770171534435977565304502"
"""Content type of a Binary HTTP response, and the capability that asks for it: a UUID of the project's own (X.667)."""

ABOUT_CONTENT = (
    "Content-Type",
    "Content-Language",
    "Content-Location",
    "Content-Disposition",
    "Content-Digest",
    "Repr-Digest",
    "ETag",
    "Last-Modified",
)
"""What goes inside of the fields of a service: what says something about the content, and nothing that sets a state."""
CREATED = 201
"""Its Location goes inside, too: where what was made is."""
LONGEST_FIELD = 1024
"""Of a value; a longer one stays behind."""

_KNOWN_LENGTH_RESPONSE = 1
_FOLD = re.compile(r"\r?\n[ \t]+")


def about_content(response: Response) -> Headers:
    """Those fields of a service's answer that go inside, each of them once."""
    names = (*ABOUT_CONTENT, "Location") if response.status == CREATED else ABOUT_CONTENT
    wanted = {name.lower(): name for name in names}
    found: dict[str, list[str]] = {}
    for name, value in response.headers:
        found.setdefault(name.lower(), []).append(_FOLD.sub(" ", value).strip())
    # of two, nobody knows which one is meant
    once = [(name, values[0]) for name, values in found.items() if name in wanted and len(values) == 1]
    return [(wanted[name], value) for name, value in once if _is_value(value)]


def write_response(status: int, fields: Headers, content: bytes, bucket: int = 0) -> bytes:
    """The message, with zeros behind it up to a multiple of `bucket` octets; 0 for none."""
    section = b"".join(_octets(name.lower()) + _octets(value) for name, value in fields)
    head = b"".join(map(_integer, (_KNOWN_LENGTH_RESPONSE, status, len(section)))) + section + _integer(len(content))
    # an empty trailer section and the padding are zeros alike
    length = len(head) + len(content) + 1
    return b"".join((head, content, bytes(1 + (-length % bucket if bucket else 0))))


def _is_value(value: str) -> bool:
    return 0 < len(value) <= LONGEST_FIELD and value.isascii() and value.isprintable()


def _octets(text: str) -> bytes:
    encoded = text.encode("ascii")
    return _integer(len(encoded)) + encoded


def _integer(value: int) -> bytes:
    """A variable-length integer in the fewest octets (RFC 9000 section 16)."""
    for power, size in enumerate((1, 2, 4, 8)):
        if value < 1 << 8 * size - 2:
            return (value | power << 8 * size - 2).to_bytes(size, "big")
    raise ValueError("too large")
