"""BER made definite and checked before anything reads it.

One pass without recursion proves that every length is inside its parent and that depth and number of elements are
bounded. Indefinite lengths (OpenSSL's -stream, Bouncy Castle) are then replaced by definite ones, so that the reader
knows definite lengths only.
"""

from __future__ import annotations

MAX_DEPTH = 24
MAX_ELEMENTS = 100_000

CONSTRUCTED = 0x20
_TAG_BITS = 0x1F
_INDEFINITE = 0x80
_END_OF_CONTENTS = b"\x00\x00"


def make_definite(data: bytes) -> bytes:
    """The same single element with definite lengths; unchanged if it had no others.

    Raises:
        ValueError: not one well-formed BER element, or beyond MAX_DEPTH or MAX_ELEMENTS.
    """
    return _rebuild(data, 0)[0] if _has_indefinite(data) else data


def read_header(data: bytes, at: int, end: int) -> tuple[int, int | None]:
    """Where the contents of the element at `at` begin, and where they end; None means an indefinite length.

    Raises:
        ValueError: the element does not fit before `end`, or its tag number is 31 or higher (CMS has none).
    """
    if at + 2 > end or data[at] & _TAG_BITS == _TAG_BITS:
        raise ValueError("not a CMS element")
    first = data[at + 1]
    if first == _INDEFINITE:
        if not data[at] & CONSTRUCTED:
            raise ValueError("a primitive element of indefinite length")
        return at + 2, None
    start, length = at + 2, first
    if first > _INDEFINITE:
        start += first & 0x7F
        if first > 0x84 or start > end:
            raise ValueError("a length that cannot be")
        length = int.from_bytes(data[at + 2 : start], "big")
    if start + length > end:
        raise ValueError("an element longer than its parent")
    return start, start + length


def encode_element(tag: int, content: bytes) -> bytes:
    """One element with a DER length (X.690 section 10.1)."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _has_indefinite(data: bytes) -> bool:
    """Walk all elements once; whether any has an indefinite length."""
    found = False
    # (end of this element or None, how far anything inside it may reach)
    stack: list[tuple[int | None, int]] = [(len(data), len(data))]
    at = elements = 0
    while stack:
        end, limit = stack[-1]
        if at == end:
            stack.pop()
            continue
        if end is None and data[at : at + 2] == _END_OF_CONTENTS:
            stack.pop()
            at += 2
            continue
        elements += 1
        if elements > MAX_ELEMENTS or (len(stack) == 1 and elements > 1):
            raise ValueError("more than one element, or too many")
        start, stop = read_header(data, at, limit)
        if not data[at] & CONSTRUCTED:
            at = limit if stop is None else stop
            continue
        if len(stack) > MAX_DEPTH:
            raise ValueError("nested too deeply")
        found |= stop is None
        stack.append((stop, limit if stop is None else stop))
        at = start
    if elements == 0:
        raise ValueError("no element at all")
    return found


def _rebuild(data: bytes, at: int) -> tuple[bytes, int]:
    """One element with definite lengths, and where the next one begins; `data` has been walked, so recursion is bounded."""
    start, stop = read_header(data, at, len(data))
    if not data[at] & CONSTRUCTED and stop is not None:
        return data[at:stop], stop
    children: list[bytes] = []
    while start != stop and not (stop is None and data[start : start + 2] == _END_OF_CONTENTS):
        child, start = _rebuild(data, start)
        children.append(child)
    return encode_element(data[at], b"".join(children)), start if stop is not None else start + 2
