"""Firmware that is encoded as an OCTET STRING inside the string that carries it anyway (AMB-13)."""

from __future__ import annotations

_OCTET_STRING = 0x04


def header_bytes(begin: bytes, *, whole: bool = False) -> int:
    """Length of the header if this begins like an OCTET STRING of definite length; 0 if it does not.

    Args:
        begin: at least 6 bytes, or all there are.
        whole: give header and contents together.
    """
    if len(begin) < 2 or begin[0] != _OCTET_STRING or begin[1] in (0x80, 0xFF):
        return 0
    count = begin[1] & 0x7F if begin[1] & 0x80 else 0
    if count > 4 or len(begin) < 2 + count:
        return 0
    length = int.from_bytes(begin[2 : 2 + count], "big") if count else begin[1]
    return 2 + count + (length if whole else 0)
