"""Reading BER that comes in pieces, element by element, definite and indefinite lengths alike; memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from device_sdk.wire.cms.definite import CONSTRUCTED, MAX_DEPTH, MAX_ELEMENTS

MAX_PART_BYTES = 256 * 1024
"""The largest element that is read as a whole: names of recipients, attributes."""

_TAG_BITS = 0x1F
_INDEFINITE = 0x80
_END_OF_CONTENTS = b"\0\0"
_OCTET_STRING = 0x04
_PIECE_BYTES = 64 * 1024
_SMALL_PIECE = 512


class Source:
    """Bytes that come in chunks of any size. What is short ends in ValueError.

    Args:
        chunks: what comes.

    Attributes:
        at: how many bytes have been taken.
        plain: whether every element that was entered so far had a definite length, and every string one piece.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = memoryview(b"")
        self.at = 0
        self.plain = True

    def peek(self, count: int) -> bytes:
        """The next bytes without taking them; fewer at the end."""
        if len(self._buffer) < count:
            pieces, size = [bytes(self._buffer)], len(self._buffer)
            while size < count and (chunk := next(self._chunks, None)) is not None:
                pieces.append(chunk)
                size += len(chunk)
            self._buffer = memoryview(b"".join(pieces))
        return bytes(self._buffer[:count])

    def take(self, count: int) -> bytes:
        """The next bytes, all of them."""
        found = self.peek(count)
        if len(found) < count:
            raise ValueError("the message ends too early")
        self._skip(count)
        return found

    def poured(self, count: int) -> Iterator[bytes]:
        """The next bytes as they come."""
        while count:
            if not self.peek(1):
                raise ValueError("the message ends too early")
            piece = bytes(self._buffer[: min(count, _PIECE_BYTES)])
            self._skip(len(piece))
            yield piece
            count -= len(piece)

    def rest(self) -> Iterator[bytes]:
        """Whatever is left."""
        while piece := self.peek(1):
            piece = bytes(self._buffer)
            self._skip(len(piece))
            yield piece

    def header(self) -> tuple[int, bytes, int | None]:
        """Tag and length of the next element: the tag, both as encoded, the length; None if it is indefinite."""
        start = self.take(2)
        tag, first = start
        if tag & _TAG_BITS == _TAG_BITS or (first == _INDEFINITE and not tag & CONSTRUCTED):
            raise ValueError("not a CMS element")
        if first <= _INDEFINITE:
            return tag, start, None if first == _INDEFINITE else first
        if first > _INDEFINITE + 4:
            raise ValueError("a length that cannot be")
        octets = self.take(first & 0x7F)
        return tag, start + octets, int.from_bytes(octets, "big")

    def _skip(self, count: int) -> None:
        self._buffer = self._buffer[count:]
        self.at += count


class Scope:
    """The inside of one constructed element, or the whole message.

    Args:
        source: standing at its beginning.
        end: where it ends, counted from the start of the source; None for an indefinite length.
        limit: where the innermost element of definite length around it ends; None if there is none.
    """

    def __init__(self, source: Source, end: int | None = None, limit: int | None = None) -> None:
        self._source = source
        self._end = end
        self._limit = limit if end is None else end

    @property
    def next_tag(self) -> int | None:
        """The tag of the next element; None at the end."""
        if self._source.at == self._end or (self._end is None and self._source.peek(2) == _END_OF_CONTENTS):
            return None
        found = self._source.peek(1)
        if not found:
            raise ValueError("the message ends too early")
        return found[0]

    def enter(self, tag: int) -> Scope:
        """The inside of the next element, which has to have this tag."""
        found, _, length = self._header()
        if found != tag:
            raise ValueError("another element than there should be")
        return self._inside(length)

    def leave(self) -> None:
        """Go behind the element; nothing may be left in it."""
        if self.next_tag is not None:
            raise ValueError("more elements than there should be")
        if self._end is None:
            self._source.take(2)

    def element(self) -> bytes:
        """The next element as a whole, as encoded."""
        found: list[bytes] = []
        size = depth = 0
        while not found or depth:
            if depth and self._source.peek(2) == _END_OF_CONTENTS:
                depth -= 1
                found.append(self._source.take(2))
                continue
            _, encoded, length = self._header()
            size += len(encoded) + (length or 0)
            depth += length is None
            if size > MAX_PART_BYTES or depth > MAX_DEPTH:
                raise ValueError("an element that is too large, or nested too deeply")
            found += [encoded, self._source.take(length or 0)]
        return b"".join(found)

    def octets(self, tag: int, write: Callable[[bytes], object]) -> int:
        """Hand over an OCTET STRING under an implicit tag, in one piece or in many; gives its length."""
        total = 0
        for piece in self.pieces(tag):
            write(piece)
            total += len(piece)
        return total

    def pieces(self, tag: int) -> Iterator[bytes]:
        """The same as it comes; take all of it before the next element is asked for."""
        found, _, length = self._header()
        if found == tag and length is not None:
            yield from self._source.poured(length)
            return
        if found != tag | CONSTRUCTED:
            raise ValueError("another element than there should be")
        self._source.plain = False
        yield from self._pieces(self._inside(length))

    def _pieces(self, outermost: Scope) -> Iterator[bytes]:
        """The pieces of a constructed string, which may be constructed themselves."""
        scopes, total, pieces = [outermost], 0, 0
        while scopes:
            inside = scopes[-1]
            if inside.next_tag is None:
                inside.leave()
                scopes.pop()
                continue
            found, _, length = inside._header()
            pieces += 1
            # many small pieces cost time for nothing; what others write are a thousand bytes or more
            if pieces > MAX_ELEMENTS + total // _SMALL_PIECE or len(scopes) > MAX_DEPTH:
                raise ValueError("too many pieces")
            if found == _OCTET_STRING and length is not None:
                yield from self._source.poured(length)
                total += length
            elif found == _OCTET_STRING | CONSTRUCTED:
                scopes.append(inside._inside(length))
            else:
                raise ValueError("another element than there should be")

    def _inside(self, length: int | None) -> Scope:
        self._source.plain &= length is not None
        return Scope(self._source, None if length is None else self._source.at + length, self._limit)

    def _header(self) -> tuple[int, bytes, int | None]:
        tag, encoded, length = self._source.header()
        if self._limit is not None and self._source.at + (length or 0) > self._limit:
            raise ValueError("an element longer than its parent")
        return tag, encoded, length
