"""Bodies of requests and answers: base64 of DER (RFC 8951 section 3), read tolerantly, written one way."""

from __future__ import annotations

import base64
import binascii
import io
import re

from device_sdk_simulators.http.messages import HttpError

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+(.*?)-----END \1-----\s*", re.DOTALL)
_PIECE = 48 * 1024
"""Bytes that become whole lines."""


def decode_body(body: bytes, labels: tuple[str, ...]) -> bytes:
    """DER from PEM with one of these labels, raw DER, or base64 with any white space (EST-37..39); HttpError 400."""
    if body.lstrip()[:10] == b"-----BEGIN":
        match = _PEM.fullmatch(body.lstrip())
        if match is None or match[1].decode() not in labels:
            raise HttpError(400, f"PEM, but not one block of {' or '.join(labels)}")
        body = match[2]
    elif body[:1] == b"\x30" and not _looks_like_base64(body):
        return body
    compact = re.sub(rb"[ \t\r\n]", b"", body)
    if not compact:
        raise HttpError(400, "the body is empty")
    try:
        der = base64.b64decode(compact, validate=True)
    except binascii.Error as error:
        raise HttpError(400, f"the body is not base64: {error}") from error
    # RFC 4648 section 3.5: the last character may not say more than the octets do
    if base64.b64encode(der) != compact:
        raise HttpError(400, "the body is base64 with wrong padding")
    return der


def _looks_like_base64(body: bytes) -> bool:
    # "0" is both the tag of a SEQUENCE and a letter of the alphabet; DER of any use has bytes outside of it
    return re.fullmatch(rb"[A-Za-z0-9+/=\s]+", body) is not None


def encode_body(der: bytes, *, user_agent: str | None = None) -> bytes:
    """Base64 on one line with a final newline, which strongSwan needs; libest needs lines of at most 1020 characters."""
    text = base64.b64encode(der)
    if (user_agent or "").lower().startswith("libest"):
        return wrap(text, 64, b"\n")
    return text + b"\n"


def wrap(text: bytes, width: int, ending: bytes) -> bytes:
    """Base64 in lines of one width."""
    return b"".join(text[start : start + width] + ending for start in range(0, len(text), width))


def in_lines(der: bytes) -> bytes:
    """Base64 in lines of 64 characters; of a large message not much more is in memory than the result."""
    lines = io.BytesIO()
    for start in range(0, len(der), _PIECE):
        lines.write(wrap(base64.b64encode(der[start : start + _PIECE]), 64, b"\n"))
    return lines.getvalue()
