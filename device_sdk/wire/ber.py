"""Where a BER element ends: enough to tell DER from text, find trailing bytes and bound nesting before anything parses it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from device_sdk.errors import WireError

MAX_DEPTH = 64
MAX_ELEMENTS = 200_000
_SEQUENCE = 0x30


def element_end(data: bytes, start: int = 0) -> int:
    """Offset of the first byte after the element that starts at `start` (X.690 section 8.1).

    Definite lengths are taken at their word, indefinite ones are followed to their end-of-contents; no recursion.

    Raises:
        WireError: not an element, it ends after the data, or indefinite lengths nest deeper than MAX_DEPTH or hold more
            than MAX_ELEMENTS.
    """
    offset, open_elements = start, 0
    for _ in range(MAX_ELEMENTS):
        if data[offset : offset + 2] == b"\0\0" and open_elements:
            offset, open_elements = offset + 2, open_elements - 1
        else:
            constructed, offset, length = _header(data, offset)
            if length is not None:
                offset += length
            elif not constructed or open_elements == MAX_DEPTH:
                raise WireError("an element of indefinite length is primitive or nested too deeply", what="BER")
            else:
                open_elements += 1
        if offset > len(data):
            raise WireError(f"the data ends {offset - len(data)} bytes too early", what="BER")
        if not open_elements:
            return offset
    raise WireError(f"more than {MAX_ELEMENTS} elements inside one of indefinite length", what="BER")


def children(contents: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each element out of the contents of a constructed one: its first tag octet, all of it, its contents.

    Raises:
        WireError: bytes that are no element, as the iteration reaches them.
    """
    offset = 0
    while offset < len(contents):
        end = element_end(contents, offset)
        _, inner, length = _header(contents, offset)
        yield contents[offset], contents[offset:end], contents[inner : end - (2 if length is None else 0)]
        offset = end


def contents_of(element: bytes) -> bytes:
    """The contents of the one element that the data holds.

    Raises:
        WireError: not one element, or bytes behind it.
    """
    found = list(itertools.islice(children(element), 2))
    if len(found) != 1:
        raise WireError("not exactly one element", what="BER")
    return found[0][2]


def is_one_sequence(data: bytes, *, padding: bytes = b"") -> bool:
    """Whether the data is one SEQUENCE and nothing else but trailing bytes out of `padding`."""
    if data[:1] != bytes([_SEQUENCE]):
        return False
    try:
        end = element_end(data)
    except WireError:
        return False
    return not data[end:].strip(padding) if padding else end == len(data)


def _header(data: bytes, offset: int) -> tuple[bool, int, int | None]:
    """Tag and length at `offset`: whether it is constructed, where the contents start, their length or None."""
    try:
        tag = data[offset]
        offset += 1
        if tag & 0x1F == 0x1F:
            while data[offset] & 0x80:
                offset += 1
            offset += 1
        first = data[offset]
    except IndexError as error:
        raise WireError("the data ends inside a tag or a length", what="BER") from error
    offset += 1
    if first < 0x80:
        return bool(tag & 0x20), offset, first
    if first == 0x80:
        return bool(tag & 0x20), offset, None
    count = first & 0x7F
    if count > 4 or offset + count > len(data):
        raise WireError("a length that is too long or cut off", what="BER")
    return bool(tag & 0x20), offset + count, int.from_bytes(data[offset : offset + count], "big")
