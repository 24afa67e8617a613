"""From the forms a CMS message travels in to its BER bytes: PEM, base64, S/MIME text, or BER itself."""

from __future__ import annotations

import re

from device_sdk.wire.transfer import LABELS_CMS, decode_body

_WHITE = b" \t\r\n"
_HEADER_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,63}:[ \t]")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def remove_armor(message: bytes, limit_bytes: int) -> bytes:
    """The one BER element inside a message.

    Labels CMS and PKCS7 are what RFC 7468 and OpenSSL write. The headers of S/MIME text are skipped, not believed.

    Args:
        message: PEM, base64 with any white space, S/MIME text with its headers, or BER.
        limit_bytes: the largest acceptable message.

    Raises:
        WireError: none of these, or larger than the limit.
    """
    text = message
    if _HEADER_LINE.match(message.lstrip(_WHITE)):
        text = _BLANK_LINE.split(message.lstrip(_WHITE), maxsplit=1)[-1]
    return decode_body(text, labels=LABELS_CMS, limit=limit_bytes)
