"""Reading multipart bodies (RFC 2046 section 5.1) as EST servers write them, right and wrong (EST-194, EST-199).

Python's `email` is not used: it takes the part header `Content-Type=...` that draft-ietf-pkix-est prints for content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from device_sdk.errors import WireError
from device_sdk.model.http import MAX_RESPONSE_BYTES

MAX_PARTS = 8
MAX_PART_HEADER_LINES = 32
MAX_HEADER_LINE_BYTES = 1000
MAX_BOUNDARY_CHARS = 70

_WHAT = "multipart"
_PARAMETER = re.compile(r'\s*;\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)')
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")
# RFC 5322 section 2.2, and the "=" that stands for ":" in draft-ietf-pkix-est, for the one header it has there
_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*(.*)")
_MISPRINT = re.compile(rb"(content-type)[ \t]*=[ \t]*(.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        headers: names in lower case, values as they stand, in order.
        body: the bytes between the header and the next delimiter, without the line end that belongs to the delimiter;
            the transfer encoding is not undone.
    """

    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key == name.lower()), None)


def boundary_of(content_type: str) -> str:
    """The boundary parameter of a Content-Type value, quoted or not, with spaces around everything.

    Raises:
        WireError: there is none, or none that RFC 2046 allows.
    """
    position = content_type.find(";")
    while position >= 0 and (found := _PARAMETER.match(content_type, position)):
        if found[1].lower() == "boundary":
            return _checked(_unquoted(found[2].strip()))
        position = found.end()
    raise WireError("a multipart body whose Content-Type names no boundary", what=_WHAT)


def read_multipart(body: bytes, content_type: str, *, limit_bytes: int = MAX_RESPONSE_BYTES) -> tuple[Part, ...]:
    """The parts of a body; what stands before the first and after the last is ignored.

    Lines end with CRLF or LF. A part may have no header at all; a header may lack the empty line after it. That the last
    delimiter is missing is an error, as something may then be missing before it.

    Args:
        body: the content, complete.
        content_type: value of the message's Content-Type.
        limit_bytes: the largest acceptable body.

    Raises:
        WireError: no boundary, no closing delimiter, no part, or too much of anything.
    """
    if len(body) > limit_bytes:
        raise WireError(f"the body is {len(body)} bytes, the limit is {limit_bytes}", what=_WHAT)
    delimiter = b"--" + boundary_of(content_type).encode("ascii")
    marks = re.compile(rb"(?:\A|\r?\n)" + re.escape(delimiter) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    parts: list[Part] = []
    opened: int | None = None
    for mark in marks.finditer(body):
        if opened is not None:
            parts.append(_part(body[opened : mark.start()]))
        if mark[1]:
            return _some(parts)
        if len(parts) == MAX_PARTS:
            raise WireError(f"more than {MAX_PARTS} parts", what=_WHAT)
        opened = mark.end()
    raise WireError("the body ends before its last delimiter" if parts or opened else "no part in the body", what=_WHAT)


def _some(parts: list[Part]) -> tuple[Part, ...]:
    if not parts:
        raise WireError("no part in the body", what=_WHAT)
    return tuple(parts)


def _part(content: bytes) -> Part:
    """Header lines as long as they look like some; then, perhaps after an empty line, the body."""
    position = _line(content, 0)[1]  # what is left of the delimiter's own line
    headers: list[tuple[str, str]] = []
    for _ in range(MAX_PART_HEADER_LINES):
        line, following = _line(content, position)
        if not line:
            return Part(tuple(headers), content[following:])
        found = _HEADER.fullmatch(line) or _MISPRINT.fullmatch(line)
        if found:
            headers.append((found[1].decode("latin-1").lower(), found[2].decode("latin-1").strip()))
        elif headers and line[:1] in b" \t":
            name, value = headers[-1]
            headers[-1] = name, f"{value} {line.decode('latin-1').strip()}"
        else:
            return Part(tuple(headers), content[position:])
        if len(line) > MAX_HEADER_LINE_BYTES:
            break
        position = following
    raise WireError("a part with a header that is too long", what=_WHAT)


def _line(content: bytes, start: int) -> tuple[bytes, int]:
    """One line without its end, and where the next one starts."""
    end = content.find(b"\n", start)
    if end < 0:
        return content[start:], len(content)
    return content[start:end].removesuffix(b"\r"), end + 1


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _checked(boundary: str) -> str:
    if len(boundary) > MAX_BOUNDARY_CHARS or not _BOUNDARY.fullmatch(boundary):
        raise WireError("a boundary that is empty, too long, or has characters it cannot have", what=_WHAT)
    return boundary
