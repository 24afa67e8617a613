"""Writing DER by hand: the few constructions that PKCS#10 needs (X.690)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from asn1crypto import core

_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")


def tlv(tag: int, contents: bytes) -> bytes:
    """One element: a tag octet, the length in its shortest form, the contents."""
    size = len(contents)
    if size < 0x80:
        return bytes([tag, size]) + contents
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + contents


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of elements already encoded."""
    return tlv(0x30, b"".join(parts))


def set_of(parts: Iterable[bytes], *, tag: int = 0x31) -> bytes:
    """SET OF elements already encoded, put in DER's order (X.690 section 11.6)."""
    return tlv(tag, b"".join(sorted(parts)))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    return bytes(core.ObjectIdentifier(dotted).dump())


def integer(value: int) -> bytes:
    """INTEGER of any size, two's complement in the fewest octets (X.690 section 8.3)."""
    bits = (~value if value < 0 else value).bit_length()
    return tlv(0x02, value.to_bytes(bits // 8 + 1, "big", signed=True))


def attribute(dotted: str, value: bytes) -> bytes:
    """SEQUENCE { type, SET { value } } with one value already encoded."""
    return sequence(oid(dotted), set_of([value]))


def extension(dotted: str, value: bytes, *, critical: bool) -> bytes:
    """Extension (RFC 5280 section 4.1); `critical` is written only when true, since false is the default."""
    return sequence(oid(dotted), b"\x01\x01\xff" if critical else b"", tlv(0x04, value))


def ia5_string(text: str) -> bytes:
    """IA5String; UnicodeEncodeError for characters outside ASCII."""
    return tlv(0x16, text.encode("ascii"))


def directory_string(text: str) -> bytes:
    """PrintableString when the characters allow it, else UTF8String (EST-108)."""
    return tlv(0x13 if _PRINTABLE.fullmatch(text) else 0x0C, text.encode())
