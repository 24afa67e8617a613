"""Multipart bodies as other servers write them, or as nobody should (EST-199)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import TypeAlias

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

OddPart: TypeAlias = tuple[bytes, bytes]
"""Header lines, each with its CRLF, and DER."""

_TRANSFER = b"Content-Transfer-Encoding: base64\r\n"


def _join(
    parts: Sequence[OddPart],
    *,
    value: bytes = b"multipart/mixed; boundary=odd",
    encoded: bool = True,
    close: bool = True,
) -> tuple[bytes, bytes]:
    """Content-Type and body."""
    written = [
        b"--odd\r\n" + head + b"\r\n" + (base64.encodebytes(body) if encoded else body) + b"\r\n"
        for head, body in parts
    ]
    return value, b"".join(written) + (b"--odd--\r\n" if close else b"")


def _with_key(parts: Sequence[OddPart], change: Callable[[OddPart], OddPart]) -> list[OddPart]:
    return [change(parts[0]), *parts[1:]]


def _equals(parts: Sequence[OddPart]) -> tuple[bytes, bytes]:
    """draft-ietf-pkix-est-04: LF, PEM, a preamble, `Content-Type=`, spaces around the semicolon."""
    labels = (b"PRIVATE KEY", b"PKCS7")
    text = b"This is the preamble.\n"
    for (_, body), label, head in zip(
        parts, labels, (b"Content-Type=application/pkcs8", b"Content-Type: application/pkcs7-mime"), strict=True
    ):
        text += b"--odd\n" + head + b"\n\n" + _armour(label, body)
    return b"multipart/mixed ; boundary=odd", text + b"--odd--\nThis is the epilogue.\n"


def _armour(label: bytes, der: bytes) -> bytes:
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, base64.encodebytes(der), label)


def _pem(parts: Sequence[OddPart]) -> tuple[bytes, bytes]:
    armoured = [
        (head, _armour(label, body)) for (head, body), label in zip(parts, (b"PRIVATE KEY", b"CMS"), strict=True)
    ]
    return _join(armoured, encoded=False)


def _traditional(part: OddPart) -> OddPart:
    key = load_der_private_key(part[1], None)
    return part[0], key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def _encrypted(part: OddPart) -> OddPart:
    key = load_der_private_key(part[1], None)
    return part[0], key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"not told"))


VARIANTS: dict[str, Callable[[Sequence[OddPart]], tuple[bytes, bytes]]] = {
    "lf": lambda parts: (_join(parts)[0], _join(parts)[1].replace(b"\r\n", b"\n")),
    "equals": _equals,
    "headless": lambda parts: _join([(b"", body) for _, body in parts]),
    "pem": _pem,
    "der": lambda parts: _join([(head.replace(_TRANSFER, b""), body) for head, body in parts], encoded=False),
    "turned": lambda parts: _join(parts[::-1]),
    "one": lambda parts: _join(parts[:1]),
    "three": lambda parts: _join([*parts, parts[1]]),
    "twice": lambda parts: _join([parts[0], parts[0]]),
    "open": lambda parts: _join(parts, close=False),
    "preamble": lambda parts: (
        _join(parts)[0],
        b"Words\r\n\r\n" + _join(parts)[1] + b"--odd\r\n\r\nmore\r\n--odd--\r\n",
    ),
    "quoted": lambda parts: _join(parts, value=b'Multipart/Mixed; charset=utf-8; boundary="odd"'),
    "pkcs12": lambda parts: _join(_with_key(parts, lambda part: (b"Content-Type: application/pkcs12\r\n", part[1]))),
    "encrypted": lambda parts: _join(_with_key(parts, _encrypted)),
    "pkcs1": lambda parts: _join(_with_key(parts, _traditional)),
    "empty": lambda parts: _join(_with_key(parts, lambda part: (part[0], b""))),
    "related": lambda parts: _join(parts, value=b"multipart/related; boundary=odd"),
}


def odd_multipart(variant: str, parts: Sequence[OddPart]) -> tuple[str, bytes]:
    """Content-Type and body.

    Args:
        variant: a name of VARIANTS.
        parts: the key's and the certificate's.
    """
    value, body = VARIANTS[variant](parts)
    return value.decode(), body
