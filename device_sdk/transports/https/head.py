"""The head of an HTTP/1.1 response, read whole, bounded, and brought into order before the standard library parses it.

The standard library drops every field after a line that is neither a field nor indented (CALE's draft prints such
answers), takes any number of interim responses, and guesses when framing fields contradict each other.
"""

from __future__ import annotations

import http.client
import io
import re
from typing import Any, cast

from device_sdk.errors import RemoteProtocolError, TruncatedResponseError

MAX_HEAD_BYTES = 64 * 1024
MAX_FIELDS = 100
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)(?: [^\r\n]*)?\r?\n")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*(.*)", re.DOTALL)
_FRAMING = ("content-length", "transfer-encoding")
_SWITCHING_PROTOCOLS = 101
# http.client has the fields parsed by the email package, which looks into a multipart Content-Type and stumbles over
# parameters that are numbered and not numbered at once (RFC 2231)
_EMAIL_FAILURES = (TypeError, ValueError, LookupError, AttributeError, RecursionError)

Fields = tuple[tuple[str, str], ...]


def not_http(words: str, *, status_code: int | None = None) -> RemoteProtocolError:
    """The error for an answer that no HTTP/1.1 server gives that is well."""
    hint = "check host and port; if they are right, look into the log of the server, or of the proxy in front of it"
    return RemoteProtocolError(words, status_code=status_code, hint=hint)


class HeadReader(io.BufferedReader):
    """What a response is read from: first the head in order, then the bytes as they come.

    Attributes:
        fields: the header fields as received, in order, duplicates kept, folded lines joined.
    """

    fields: Fields = ()
    _head: io.BytesIO | None = None

    def read_head(self) -> None:
        """Read up to the end of the final response's head.

        Raises:
            RemoteProtocolError: not HTTP/1, too many fields, contradictory framing, or more than MAX_HEAD_BYTES,
                interim responses included.
            TruncatedResponseError: the connection ended inside the head.
        """
        budget = MAX_HEAD_BYTES
        while True:
            lines = self._head_lines(budget)
            if not lines and budget == MAX_HEAD_BYTES:
                return  # the connection ended before the first byte; http.client says so
            if not lines:
                raise TruncatedResponseError("the connection ended after an interim response")
            budget -= sum(map(len, lines))
            status = _status(lines[0])
            if status >= 200:
                break
            if status == _SWITCHING_PROTOCOLS:
                raise not_http("the server switched to a protocol nobody asked for", status_code=status)
        self.fields = _fields(lines[1:])
        canonical = b"".join(
            b"%s: %s\r\n" % (n.encode("latin-1"), v.encode("latin-1")) for n, v in _framed(self.fields)
        )
        self._head = io.BytesIO(lines[0].rstrip(b"\r\n") + b"\r\n" + canonical + b"\r\n")

    def _head_lines(self, budget: int) -> list[bytes]:
        lines: list[bytes] = []
        while True:
            line = super().readline(budget + 1)
            budget -= len(line)
            if budget < 0:
                raise not_http(f"the response's header fields take more than {MAX_HEAD_BYTES} bytes")
            if not line.endswith(b"\n"):
                if not lines and not line:
                    return []
                raise TruncatedResponseError("the connection ended inside the response's header fields")
            if line in {b"\n", b"\r\n"} and lines:
                return lines
            lines.append(line)

    def readline(self, size: int | None = -1, /) -> bytes:
        """A line of the head in order, later of the stream."""
        line = self._head.readline(size) if self._head is not None else b""
        return line or super().readline(size)

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes of the stream; never all of it."""
        if size is None or size < 0:  # what http.client does with a chunk of negative size
            raise not_http("the response has a chunk of no sensible size")
        return super().read(size)


class Response(http.client.HTTPResponse):
    """http.client's response over a HeadReader."""

    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = HeadReader(self.fp.detach())

    @property
    def fields(self) -> Fields:
        """See HeadReader."""
        return self._fields

    def begin(self) -> None:
        """Read the head.

        Raises:
            RemoteProtocolError, TruncatedResponseError: see HeadReader.read_head.
            http.client.HTTPException: as it comes.
        """
        reader = cast(HeadReader, self.fp)
        reader.read_head()
        self._fields = reader.fields
        try:
            super().begin()
        except _EMAIL_FAILURES as exc:
            raise not_http("the response's header fields cannot be read") from exc


def _status(line: bytes) -> int:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise not_http(f"the answer is not HTTP/1.1; it begins with {line[:40]!r}")
    return int(match[1])


def _fields(lines: list[bytes]) -> Fields:
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        text = line.rstrip(b"\r\n").replace(b"\r", b" ").replace(b"\0", b" ")
        match = None if text[:1] in {b" ", b"\t"} else _FIELD.fullmatch(text)
        if match is not None:
            fields.append((match[1], match[2].rstrip(b" \t")))
        elif fields:  # folded, indented as it should be or not
            name, value = fields[-1]
            fields[-1] = (name, (value + b" " + text.strip(b" \t")).strip())
        if len(fields) > MAX_FIELDS:
            raise not_http(f"the response has more than {MAX_FIELDS} header fields")
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)


def _framed(fields: Fields) -> Fields:
    """The fields with at most one that says how long the body is (RFC 9112 section 6.3)."""
    lengths = {value for name, value in fields if name.lower() == "content-length"}
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    others = tuple(field for field in fields if field[0].lower() not in _FRAMING)
    if codings:
        if codings != ["chunked"] or lengths:
            raise not_http("the response's Transfer-Encoding is not chunked alone")
        return (*others, ("Transfer-Encoding", "chunked"))
    if not lengths:
        return others
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise not_http("the response's Content-Length is not one number")
    return (*others, ("Content-Length", length))
