"""DER around a content that stays in a file: what is large is copied, never held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ

CHUNK_BYTES = 64 * 1024
OCTET_STRING, SEQUENCE, EXPLICIT_0 = 0x04, 0x30, 0xA0


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """What a file holds, from its beginning."""
    file.seek(0)
    while piece := file.read(CHUNK_BYTES):
        yield piece


def size_of(file: BinaryIO) -> int:
    """Length of a file."""
    return file.seek(0, 2)


def framed(out: BinaryIO, content: BinaryIO, frames: list[tuple[int, bytes, bytes]]) -> None:
    """Write a file's content inside elements inside each other.

    Args:
        out: where to.
        content: the innermost.
        frames: tag, what comes before, what comes behind, from the innermost element to the outermost.
    """
    length, before, behind = size_of(content), b"", b""
    for tag, first, last in frames:
        before, behind = first + before, behind + last
        length += len(first) + len(last)
        head = _head(tag, length)
        before = head + before
        length += len(head)
    out.write(before)
    for piece in chunks(content):
        out.write(piece)
    out.write(behind)


def encapsulated(content_type: str) -> list[tuple[int, bytes, bytes]]:
    """Frames of an EncapsulatedContentInfo."""
    kind = bytes(encode(univ.ObjectIdentifier(content_type)))
    return [(OCTET_STRING, b"", b""), (EXPLICIT_0, b"", b""), (SEQUENCE, kind, b"")]


def around(frames: list[tuple[int, bytes, bytes]], kind: bytes) -> list[tuple[int, bytes, bytes]]:
    """The same in a ContentInfo; `kind` is DER of its content type."""
    return [*frames, (EXPLICIT_0, b"", b""), (SEQUENCE, kind, b"")]


def _head(tag: int, length: int) -> bytes:
    if length < 0x80:
        return bytes([tag, length])
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets
