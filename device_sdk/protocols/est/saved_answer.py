"""The answer to a request that was carried by hand: whatever somebody saved of it (see `offline`)."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace

from device_sdk.errors import ConfigurationError, RemoteProtocolError, TruncatedResponseError
from device_sdk.model.http import MAX_RESPONSE_BYTES, ConnectionFacts, HttpResponse
from device_sdk.protocols.est.offline import FORMAT

NO_CONNECTION = ConnectionFacts(tls_version="", cipher="")
"""What is known of the connection that carried request and answer."""

_MAX_HEAD_BYTES = 64 * 1024
_AGAIN = "save the whole answer anew, with its header fields (curl -i)"
_MAX_HEADS = 8
_STATUS = re.compile(r"[0-9]{3}(?![0-9])")
# RFC 2046 section 5.1.1; a line of PEM looks the same, and is none
_DELIMITER = re.compile(
    rb"(?:\A|\n)--(?!---BEGIN )([0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?])[ \t]*\r?\n"
)


def read_saved_answer(data: bytes, url: str) -> HttpResponse:
    """The answer in a file: the whole HTTP response as `curl -i` saves it, or its body alone.

    A body alone counts as a 200 without a Content-Type; what reads it finds out whether it is base64, DER or PEM. Of
    several heads, which `curl -i` leaves of a 401 or a proxy, the last counts.

    Args:
        data: the file.
        url: where the answer came from, for messages.

    Raises:
        ConfigurationError: it is the request.
        RemoteProtocolError: empty, too large, a web page, or a head that is none.
        TruncatedResponseError: less than its Content-Length says.
    """
    if len(data) > MAX_RESPONSE_BYTES:
        raise RemoteProtocolError(f"{url}: the saved answer is larger than {MAX_RESPONSE_BYTES} bytes", url=url)
    if not data.strip():
        raise RemoteProtocolError(
            f"{url}: the saved answer is empty",
            hint="curl -i saves the status, too; an answer of no more than that is empty without",
            url=url,
        )
    status, body = 200, _unmarked(data)
    _require_no_mistake(body, url)
    fields: tuple[tuple[str, str], ...] = ()
    for _ in range(_MAX_HEADS):
        if not body.startswith(b"HTTP/"):
            return HttpResponse(status, fields, _content(fields, body, url), url, NO_CONNECTION)
        status, fields, body = _split_head(body, url)
    raise RemoteProtocolError(f"{url}: the saved answer has more than {_MAX_HEADS} heads", url=url)


def as_multipart(response: HttpResponse) -> HttpResponse:
    """The same, where it is a multipart body that was saved without its head: its first delimiter names the boundary."""
    found = None if response.headers else _DELIMITER.search(response.body)
    if found is None:
        return response
    boundary = found[1].decode("ascii")
    return replace(response, headers=(("Content-Type", f'multipart/mixed; boundary="{boundary}"'),))


def as_message(response: HttpResponse, media_types: Collection[str]) -> HttpResponse:
    """The same, where it is a body that was saved without its head, and one of these types is what it may be."""
    if response.headers or not media_types:
        return response
    return replace(response, headers=(("Content-Type", next(iter(media_types))),))


def _unmarked(data: bytes) -> bytes:
    """Without the byte order mark that an editor or shell put in front; UTF-16 of one becomes bytes again."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        with suppress(UnicodeError):
            return data.decode("utf-16").encode("latin-1")
    return data.removeprefix(codecs.BOM_UTF8)


def _require_no_mistake(body: bytes, url: str) -> None:
    """Name the files that are taken for the answer now and then."""
    start = body[:1024].lstrip().lower()
    if start.startswith(b"{") and FORMAT.encode() in start:
        raise ConfigurationError(
            f"{url}: the file is the request, not the server's answer", hint="send it, and save what the server says"
        )
    if start.startswith((b"<!doctype html", b"<html")):
        raise RemoteProtocolError(
            f"{url}: the saved answer is an HTML page",
            hint="was it a proxy or portal that answered, or a server's error page? curl -i saves the status, too",
            url=url,
        )


def _split_head(data: bytes, url: str) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    ends = [(data.find(mark), mark) for mark in (b"\r\n\r\n", b"\n\n") if mark in data]
    position, mark = min(ends, default=(-1, b""))
    if not 0 <= position <= _MAX_HEAD_BYTES:
        raise TruncatedResponseError(f"{url}: the saved answer ends inside its header fields", url=url, hint=_AGAIN)
    first, *lines = data[:position].decode("latin-1").replace("\r\n", "\n").split("\n")
    version, _, rest = first.partition(" ")
    if version not in ("HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3") or not _STATUS.match(rest):
        words = f"{url}: the saved answer has no status line, but {first[:40]!r}"
        raise RemoteProtocolError(words, url=url, hint=_AGAIN)
    pairs = (line.partition(":") for line in lines)
    fields = tuple((name.strip(), value.strip()) for name, colon, value in pairs if colon)
    return int(rest[:3]), fields, data[position + len(mark) :]


def _content(fields: tuple[tuple[str, str], ...], body: bytes, url: str) -> bytes:
    """The body as its framing says; tools that save it have mostly undone a chunked coding, and leave the field there."""
    named = {name.lower(): value for name, value in fields}
    if named.get("transfer-encoding", "").lower() == "chunked":
        return _dechunked(body) or body
    length = named.get("content-length", "")
    if length.isascii() and length.isdigit() and len(body) < int(length[:18]):
        raise TruncatedResponseError(
            f"{url}: the saved answer ends {int(length[:18]) - len(body)} bytes too early", url=url, hint=_AGAIN
        )
    return body


def _dechunked(body: bytes) -> bytes | None:
    """The content of a chunked body; None if it is not one from beginning to end."""
    content = bytearray()
    position = 0
    while True:
        line, mark, _ = body[position : position + 64].partition(b"\r\n")
        size_text = line.partition(b";")[0].strip()
        if not mark or not 1 <= len(size_text) <= 8 or not all(char in b"0123456789abcdefABCDEF" for char in size_text):
            return None
        start, size = position + len(line) + 2, int(size_text, 16)
        if size == 0:
            return bytes(content)
        if body[start + size : start + size + 2] != b"\r\n":
            return None
        content += body[start : start + size]
        position = start + size + 2
