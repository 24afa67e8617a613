"""Reading a whole HTTP response as data: Binary HTTP (RFC 9292), the known-length form.

Status, header fields and content with their lengths, then any number of zero octets, so that a message can be filled up and
its reader knows where the content ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from device_sdk.errors import WireError

BINARY_HTTP = "2.25.288436305081144770171534435977565304502"
"""Content type, and S/MIME capability, of an encrypted Binary HTTP response.

RFC 9292 has a media type and no object identifier. This one is the project's own: a random UUID,
d8fecfcb-9941-4cbf-9a1e-b5e74b03f6b6, below the arc that needs no registration (X.667).
"""
MAX_HEAD_BYTES = 16 * 1024
"""Of everything before the content."""

_KNOWN_LENGTH_RESPONSE = 1
_MAX_FIELDS = 32
_NAME = re.compile(rb"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(rb"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?|")


@dataclass(frozen=True)
class ResponseHead:
    """What comes before the content.

    Attributes:
        status: 200 to 599.
        fields: names in lower case, and values in ASCII, in order.
        start: where the content begins in the message.
        length: octets of the content.
    """

    status: int
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    start: int
    length: int


def read_response(message: bytes) -> tuple[ResponseHead, bytes]:
    """A whole response; WireError for one that is none, is cut short, or has anything but zeros behind its content."""
    head = read_head(message[:MAX_HEAD_BYTES])
    end = head.start + head.length
    # an empty trailer section is a zero, too, and may be left out like the padding (RFC 9292 sections 3.8 and 4)
    if end > len(message) or message.count(0, end) != len(message) - end:
        raise WireError("not a response in Binary HTTP", what="Binary HTTP")
    return head, message[head.start : end]


def read_head(begin: bytes) -> ResponseHead:
    """What comes before the content.

    Args:
        begin: the first MAX_HEAD_BYTES of the message, or all of it.

    Raises:
        WireError: not a known-length response; one with interim responses, or with more fields than there is use for.
    """
    try:
        return _head(begin)
    except (ValueError, IndexError):
        raise WireError("not a response in Binary HTTP", what="Binary HTTP") from None


def check_pieces(head: ResponseHead, pieces: Iterable[bytes]) -> bool:
    """Whether a message in pieces is as long as its head says, with nothing but zeros behind the content."""
    end, at, zeros = head.start + head.length, 0, True
    for piece in pieces:
        after = max(0, end - at)
        zeros &= piece.count(0, after) == max(0, len(piece) - after)
        at += len(piece)
    return zeros and at >= end


def _head(begin: bytes) -> ResponseHead:
    kind, at = _integer(begin, 0)
    status, at = _integer(begin, at)
    size, at = _integer(begin, at)
    end = at + size
    if kind != _KNOWN_LENGTH_RESPONSE or not 200 <= status <= 599 or end > len(begin):
        raise ValueError("not a final response")
    fields: list[tuple[str, str]] = []
    while at < end:
        name, at = _octets(begin, at, end)
        value, at = _octets(begin, at, end)
        if len(fields) == _MAX_FIELDS or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError("not a header field")
        fields.append((name.decode("ascii"), value.decode("ascii")))
    length, at = _integer(begin, at) if at < len(begin) else (0, at)  # an empty content may be left out
    return ResponseHead(status, tuple(fields), at, length)


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer (RFC 9000 section 16), and where it ends; IndexError if it is cut short."""
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "big") & ((1 << 8 * size - 2) - 1), at + size


def _octets(data: bytes, at: int, end: int) -> tuple[bytes, int]:
    size, at = _integer(data, at)
    if at + size > end:
        raise ValueError("a field longer than its section")
    return data[at : at + size], at + size
