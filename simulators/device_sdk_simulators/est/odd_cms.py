"""Certs-only messages as no well-behaved encoder writes them; the certificates in them stay byte for byte what they are."""

from __future__ import annotations

from collections.abc import Sequence

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_DATA = bytes.fromhex("06092a864886f70d010701")
_VERSION_1 = bytes.fromhex("020101")
_SEQUENCE, _SET, _CONTEXT_0 = 0x30, 0x31, 0xA0


def odd_certs_only(certificates: Sequence[bytes], *, indefinite: bool = False, empty_content: bool = False) -> bytes:
    """SignedData with certificates in the order given.

    Args:
        certificates: their DER.
        indefinite: BER with indefinite lengths, as Bouncy Castle streams it.
        empty_content: an eContent that is there and empty.
    """

    def wrapped(tag: int, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return bytes([tag, 0x80]) + body + b"\0\0" if indefinite else bytes([tag]) + _length(len(body)) + body

    content = wrapped(_CONTEXT_0, b"\x04\x00") if empty_content else b""
    signed = wrapped(
        _SEQUENCE,
        _VERSION_1,
        wrapped(_SET),
        wrapped(_SEQUENCE, _DATA, content),
        wrapped(_CONTEXT_0, *certificates),
        wrapped(_SET),
    )
    return wrapped(_SEQUENCE, _SIGNED_DATA, wrapped(_CONTEXT_0, signed))


def _length(count: int) -> bytes:
    if count < 128:
        return bytes([count])
    digits = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits
