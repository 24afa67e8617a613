"""Whether an encoding is DER, where that was demanded and a signature depends on it (X.690 sections 10 and 11)."""

from __future__ import annotations

from itertools import pairwise

from device_sdk.wire.cms.definite import CONSTRUCTED, MAX_DEPTH, encode_element, read_header

_OCTET_STRING, _SET, _BOOLEAN, _INTEGER = 0x04, 0x31, 0x01, 0x02


def require_der(element: bytes, depth: int = 0) -> None:
    """Make sure of it, as far as lengths, the order of sets, BOOLEAN and INTEGER go.

    Args:
        element: one element.
        depth: how deep it is nested already.

    Raises:
        ValueError: it is not DER, or nested too deeply.
    """
    start, stop = read_header(element, 0, len(element))
    if stop != len(element) or encode_element(element[0], element[start:]) != element or depth > MAX_DEPTH:
        raise ValueError("not DER")
    tag, contents = element[0], element[start:]
    if not tag & CONSTRUCTED:
        _require_plain(tag, contents)
        return
    if tag == _OCTET_STRING | CONSTRUCTED:
        raise ValueError("not DER: a string in pieces")
    members = _members(contents)
    for member in members:
        require_der(member, depth + 1)
    if tag == _SET and any(left > right for left, right in pairwise(members)):
        raise ValueError("not DER: a set out of order")


def _require_plain(tag: int, contents: bytes) -> None:
    if tag == _BOOLEAN and contents not in (b"\x00", b"\xff"):
        raise ValueError("not DER: a BOOLEAN")
    if tag == _INTEGER and (not contents or (len(contents) > 1 and contents[0] in (0, 255) and _spare(contents))):
        raise ValueError("not DER: an INTEGER")


def _spare(contents: bytes) -> bool:
    """Whether the first octet says nothing that the next one does not."""
    return (contents[0] == 0) is (contents[1] < 0x80)


def _members(contents: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(contents):
        _, stop = read_header(contents, at, len(contents))
        if stop is None:
            raise ValueError("not DER: an indefinite length")
        found.append(contents[at:stop])
        at = stop
    return found
