"""Whether an encoding is DER, for structures that have to be (RFC 6031 section 2, RFC 7191 section 4)."""

from __future__ import annotations

from device_sdk.wire.cms.definite import CONSTRUCTED, read_header

MAX_DEPTH = 16
MAX_ELEMENTS = 20_000

_BOOLEAN, _INTEGER, _ENUMERATED, _SET = 0x01, 0x02, 0x0A, 0x31
_STRINGS = frozenset({0x23, 0x24, 0x2C, 0x33, 0x36, 0x37, 0x38})
_FIRST_OF_OTHERS = 0x40  # tags of other classes say nothing about their contents


def require_der(data: bytes) -> None:
    """Make sure that this is one DER element: shortest lengths, sorted sets, strings in one piece.

    Defaults that are encoded all the same are for the structure's reader to find.

    Raises:
        ValueError: it is not, or it is beyond MAX_DEPTH or MAX_ELEMENTS.
    """
    if _check(data, 0, len(data), [0], 0) != len(data):
        raise ValueError("bytes behind the element")


def _check(data: bytes, at: int, end: int, count: list[int], depth: int) -> int:
    """Where the element at `at` ends."""
    count[0] += 1
    if depth > MAX_DEPTH or count[0] > MAX_ELEMENTS:
        raise ValueError("nested too deeply, or too many elements")
    start, stop = read_header(data, at, end)
    tag = data[at]
    if stop is None or tag in _STRINGS:
        raise ValueError("an indefinite length, or a string in pieces")
    if start - at != _header_bytes(stop - start):
        raise ValueError("a length that could be shorter")
    if tag & CONSTRUCTED:
        members: list[bytes] = []
        inner = start
        while inner < stop:
            after = _check(data, inner, stop, count, depth + 1)
            if tag == _SET:  # of nothing else a copy is made, as there may be keys in it
                members.append(data[inner:after])
            inner = after
        if members != sorted(members):
            raise ValueError("a set that is not sorted")
    elif tag < _FIRST_OF_OTHERS:
        _check_value(tag, data[start:stop])
    return stop


def _check_value(tag: int, contents: bytes) -> None:
    if tag == _BOOLEAN and contents not in (b"\0", b"\xff"):
        raise ValueError("a boolean that is neither")
    padded = len(contents) > 1 and (contents[0], contents[1] >> 7) in ((0, 0), (0xFF, 1))
    if tag in (_INTEGER, _ENUMERATED) and (padded or not contents):
        raise ValueError("a number that could be shorter")


def _header_bytes(length: int) -> int:
    return 2 if length < 0x80 else 2 + (length.bit_length() + 7) // 8
