"""Beginning to read: DER, bounded, one element; and lists of a bounded length."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from device_sdk.wire.cms.reader import SEQUENCE, PlainReader, Reader
from device_sdk.wire.cms.strict import require_der

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1024 * 1024
ENUMERATED, BOOLEAN, NULL, UTF8_STRING = 0x0A, 0x01, 0x05, 0x0C


def opened(encoded: bytes, limit: int = MAX_MESSAGE_BYTES) -> Reader:
    """The inside of the one SEQUENCE that this is.

    Raises:
        ValueError: it is not, it is too long, or it is not DER.
    """
    if len(encoded) > limit:
        raise ValueError(f"longer than {limit} bytes")
    require_der(encoded)
    return PlainReader(encoded).enter(SEQUENCE)


def several(members: Reader, read: Callable[[Reader], T], limit: int, *, least: int = 1) -> tuple[T, ...]:
    """What is in a SEQUENCE OF.

    Args:
        members: its inside.
        read: takes the next one.
        limit: how many there may be.
        least: how many there have to be.

    Raises:
        ValueError: more, fewer, or one that cannot be read.
    """
    found: list[T] = []
    while members.next_tag is not None:
        if len(found) == limit:
            raise ValueError(f"more than {limit} of a kind")
        found.append(read(members))
    if len(found) < least:
        raise ValueError("an empty list")
    return tuple(found)


def flag(reader: Reader) -> bool:
    """A BOOLEAN."""
    return reader.contents(BOOLEAN) == b"\xff"


def enumerated(contents: bytes) -> int:
    """The value of an ENUMERATED."""
    if not contents or len(contents) > 2:
        raise ValueError("not a number of a list")
    return int.from_bytes(contents, "big", signed=True)
