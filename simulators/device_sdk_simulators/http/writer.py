"""Turns an answer into the bytes that six foreign clients were seen to accept: Title-Case names, Content-Length, no chunks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime

from device_sdk_simulators.http.messages import REASONS, Headers, Response

PIECE = 64 * 1024
"""Bytes of content that are sent in one write."""


def serialize(response: Response, now: datetime, *, head_only: bool = False) -> Iterator[bytes]:
    """Status line, headers and content in pieces, each to be sent in one write: one for most answers.

    `response.sent` is called before the last of them, not after: otherwise a client that has all of it could be quicker.
    """
    start, body = head(response.status, framed_headers(response, now)), b"" if head_only else response.body
    last = b""
    if response.sent is not None and body:
        body, last = body[:-1], body[-1:]
    yield start + body[:PIECE]
    for place in range(PIECE, len(body), PIECE):
        yield body[place : place + PIECE]
    if last and response.sent is not None:
        response.sent()
        yield last


def framed_headers(response: Response, now: datetime) -> Headers:
    """The answer's headers with what HTTP adds: Date, Content-Length (none on 204) and Connection when it closes."""
    headers = [("Date", format_datetime(now, usegmt=True)), *response.headers]
    if response.status != 204:
        headers.append(("Content-Length", str(response.size)))
    if response.close:
        headers.append(("Connection", "close"))
    return headers


def head(status: int, headers: Headers, version: str = "HTTP/1.1") -> bytes:
    """Status line and header fields; a value may hold a line break only before white space (obs-fold)."""
    lines = [f"{version} {status} {REASONS.get(status, 'Status')}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
