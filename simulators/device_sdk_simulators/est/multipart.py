"""Writes the two parts of a /serverkeygen answer the one way that every client can read (RFC 7030 section 4.4.2, EST-200)."""

from __future__ import annotations

import base64
import secrets

from device_sdk_simulators.est.bodies import wrap


def multipart(*parts: tuple[str, bytes]) -> tuple[str, bytes]:
    """Content-Type and body.

    CRLF everywhere, Content-Type first and Content-Transfer-Encoding second, as libest drops a part without the latter;
    no preamble, no epilogue, a boundary that occurs nowhere else.

    Args:
        parts: media type and DER of each.
    """
    boundary = f"est-{secrets.token_hex(16)}"
    lines = [
        f"--{boundary}\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
        + wrap(base64.b64encode(der), 64, b"\r\n")
        for media_type, der in parts
    ]
    return f"multipart/mixed; boundary={boundary}", b"".join(lines) + f"--{boundary}--\r\n".encode()
