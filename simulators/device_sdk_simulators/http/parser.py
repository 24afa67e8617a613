"""Reads one HTTP/1.1 request (RFC 9112) from a stream of bytes; bounded, and strict where leniency smuggles requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from device_sdk_simulators.http.messages import Headers, HttpError, Request

_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 3986: a URI is visible ASCII; what else came in could not be handed on
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) (HTTP/\d\.\d)")


class ConnectionEnded(Exception):  # noqa: N818 - an event, not an error
    """The client left, or nothing more came in time."""


@dataclass(frozen=True)
class Limits:
    """Bounds of a request in bytes, of waiting in seconds, and of connections (EST-16).

    Attributes:
        head_bytes: request line and headers.
        body_bytes: content.
        header_count: fields.
        idle_s: until the first byte of the next request.
        request_s: from there to its last byte, however slowly they come.
        handshake_s: the TLS handshake, as a whole.
        answer_s: until the client has taken the answer.
        connections: open at one time.
        crowded_s: how long a connection may wait for its client while another waits for a place.
        unsent_bytes: of answers that clients have not taken yet, on all connections together.
        stalled_s: how long a client may take none of its answer while there are more of them.
    """

    head_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
    header_count: int = 64
    idle_s: float = 30.0
    request_s: float = 20.0
    handshake_s: float = 10.0
    answer_s: float = 60.0
    connections: int = 256
    crowded_s: float = 2.0
    unsent_bytes: int = 64 * 1024 * 1024
    stalled_s: float = 0.5


class RequestReader:
    """Takes requests off one connection.

    Args:
        receive: gives the next bytes; raises ConnectionEnded.
        send: sends an interim answer (100 Continue).
        limits: bounds.
    """

    def __init__(self, receive: Callable[[], bytes], send: Callable[[bytes], None], limits: Limits) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._buffer = b""

    def next_request(self) -> Request:
        """The next request with its body; HttpError if it must be refused, ConnectionEnded if there is none."""
        request = self._head()
        request.body = self._body(request)
        return request

    def wait(self) -> None:
        """Wait for the first byte of the next request; ConnectionEnded if there is none."""
        while not self._buffer:
            self._buffer += self._receive()

    def _until(self, marker: bytes, limit: int, refusal: int) -> bytes:
        while marker not in self._buffer[: limit + len(marker)]:
            if len(self._buffer) > limit:
                raise HttpError(refusal, f"more than {limit} bytes")
            self._buffer += self._receive()
        found, self._buffer = self._buffer.split(marker, 1)
        return found

    def _exactly(self, count: int) -> bytes:
        pieces, have = [self._buffer], len(self._buffer)
        while have < count:
            pieces.append(self._receive())
            have += len(pieces[-1])
        data = b"".join(pieces)
        self._buffer = data[count:]
        return data[:count]

    def _head(self) -> Request:
        # RFC 9112 section 2.2: at least one empty line before the request line is ignored
        while self._buffer in (b"", b"\r") or self._buffer.startswith(b"\r\n"):
            if self._buffer.startswith(b"\r\n"):
                self._buffer = self._buffer[2:]
            else:
                self._buffer += self._receive()
        lines = self._until(b"\r\n\r\n", self._limits.head_bytes, 431).decode("latin-1").split("\r\n")
        match = _REQUEST_LINE.fullmatch(lines[0])
        if match is None:
            raise HttpError(400, "not an HTTP request line")
        if match[3] not in ("HTTP/1.1", "HTTP/1.0"):
            raise HttpError(505, "HTTP/1.1 is spoken here")
        target = match[2]
        if target.lower().startswith("https://"):
            # RFC 9112 section 3.2.2: absolute form is accepted
            target = "/" + target[8:].partition("/")[2]
        if not target.startswith("/"):
            raise HttpError(400, "the target is not a path")
        return Request(match[1], target, self._headers(lines[1:]), version=match[3])

    def _headers(self, lines: list[str]) -> Headers:
        if len(lines) > self._limits.header_count:
            raise HttpError(431, f"more than {self._limits.header_count} header fields")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            value = value.strip(" \t")
            if not colon or not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
                raise HttpError(400, "malformed header field")
            headers.append((name, value))
        return headers

    def _body(self, request: Request) -> bytes:
        lengths = request.header_values("Content-Length")
        codings = request.header_values("Transfer-Encoding")
        if codings:
            if lengths or [coding.lower() for coding in codings] != ["chunked"]:
                raise HttpError(400, "only Transfer-Encoding: chunked, without Content-Length, is understood")
        elif not lengths:
            if request.method in ("POST", "PUT", "PATCH"):
                raise HttpError(411, "a request with a body needs Content-Length")
            return b""
        length = 0
        if lengths:
            if len(set(lengths)) != 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
                raise HttpError(400, "Content-Length is not one number")
            length = int(lengths[0])
            if length > self._limits.body_bytes:
                raise HttpError(413, f"the body may have {self._limits.body_bytes} bytes")
        self._continue(request)
        return self._exactly(length) if lengths else self._chunks()

    def _continue(self, request: Request) -> None:
        expectation = request.header("Expect")
        if expectation is None:
            return
        if expectation.lower() != "100-continue":
            raise HttpError(417, "only 100-continue can be expected")
        if not self._buffer and request.version == "HTTP/1.1":
            self._send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _chunks(self) -> bytes:
        body = b""
        while True:
            line = self._until(b"\r\n", 256, 400).split(b";", 1)[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", line):
                raise HttpError(400, "malformed chunk")
            size = int(line, 16)
            if size == 0:
                break
            if len(body) + size > self._limits.body_bytes:
                raise HttpError(413, f"the body may have {self._limits.body_bytes} bytes")
            body += self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise HttpError(400, "malformed chunk")
        while self._until(b"\r\n", 1024, 431):
            pass
        return body
