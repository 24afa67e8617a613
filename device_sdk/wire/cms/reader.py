"""Reading definite BER element by element, by its tags.

Not asn1crypto: its Any cannot hold context tags, constructed strings of definite length come back with their inner
headers, and joining the pieces of a streamed content takes quadratic time.
"""

from __future__ import annotations

from functools import lru_cache

from device_sdk.wire.cms.definite import CONSTRUCTED, read_header

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OID = 0x06
SEQUENCE = 0x30
SET = 0x31

_MAX_OID_BYTES = 64
_TAG_BITS = 0x1F


class Reader:
    """The elements inside one piece of encoding, in order. Every method raises ValueError for what does not fit.

    Args:
        data: elements that `make_definite` has passed.
        start: where the first one begins.
        end: where the last one ends; the end of `data` if None.
    """

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = start
        self._end = len(data) if end is None else end

    @property
    def next_tag(self) -> int | None:
        """The tag of the next element, class and constructed bit included; None at the end."""
        return self._data[self._at] if self._at < self._end else None

    def element(self, tag: int | None = None) -> bytes:
        """The next element, header and contents; any tag, or this one."""
        at = self._at
        self._step(tag)
        return self._data[at : self._at]

    def contents(self, tag: int | None = None) -> bytes:
        """The contents of the next element; any tag, or this one."""
        return self._data[self._step(tag) : self._at]

    def enter(self, tag: int = SEQUENCE) -> Reader:
        """A reader for the inside of the next element."""
        return type(self)(self._data, self._step(tag), self._at)

    def skip(self, tag: int) -> None:
        """Pass over the next element if it has this tag."""
        if self.next_tag == tag:
            self._step(tag)

    def finish(self) -> None:
        """Make sure that nothing is left."""
        if self._at != self._end:
            raise ValueError("more elements than there should be")

    def oid(self) -> str:
        """An OBJECT IDENTIFIER, dotted."""
        return _dotted(self.contents(OID))

    def integer(self) -> int:
        """An INTEGER."""
        contents = self.contents(INTEGER)
        if not 1 <= len(contents) <= 8:
            raise ValueError("not an integer that CMS has")
        return int.from_bytes(contents, "big", signed=True)

    def octets(self, tag: int = OCTET_STRING) -> bytes:
        """An OCTET STRING, under its own tag or an implicit one; its pieces joined if constructed (X.690, 8.7.3)."""
        if self.next_tag == tag:
            return self.contents(tag)
        return _joined(self.enter(tag | CONSTRUCTED))

    def _step(self, tag: int | None) -> int:
        """Go behind the next element; gives where its contents start."""
        data, at, end = self._data, self._at, self._end
        if at >= end or (tag is not None and data[at] != tag):
            raise ValueError("another element than there should be")
        # nearly all lengths are short ones, and a message has dozens of elements: this way is half as long
        if at + 1 < end and (length := data[at + 1]) < 0x80 and data[at] & _TAG_BITS != _TAG_BITS:
            start, stop = at + 2, at + 2 + length
            if stop > end:
                raise ValueError("an element longer than its parent")
        else:
            start, found = read_header(data, at, end)
            if found is None:
                raise ValueError("an indefinite length")
            stop = found
        self._at = stop
        return start


class PlainReader(Reader):
    """Reads what needs no `make_definite`: definite lengths, and strings in one piece; ValueError for everything else.

    Whatever is passed over without being entered is not looked at.
    """

    __slots__ = ()

    def octets(self, tag: int = OCTET_STRING) -> bytes:
        """An OCTET STRING in one piece, under its own tag or an implicit one."""
        return self.contents(tag)


def _joined(pieces: Reader) -> bytes:
    found: list[bytes] = []
    while pieces.next_tag is not None:
        found.append(pieces.octets())
    return b"".join(found)


@lru_cache(maxsize=256)
def _dotted(contents: bytes) -> str:
    if not 1 <= len(contents) <= _MAX_OID_BYTES or contents[-1] & 0x80:
        raise ValueError("not an object identifier")
    arcs: list[int] = []
    value = 0
    for octet in contents:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))
