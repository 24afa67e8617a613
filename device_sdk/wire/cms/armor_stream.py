"""The BER bytes of a message that comes in pieces, as `armor` has them of a message in one."""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from device_sdk.errors import WireError
from device_sdk.wire.transfer import LABELS_CMS

_WHITE = b" \t\r\n"
_SEQUENCE = 0x30
_MAX_PREAMBLE_BYTES = 64 * 1024
_HEADER_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,63}:[ \t]")
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_BEGIN = re.compile(rb"^[ \t]*-----BEGIN ([A-Z0-9 #]{1,64})-----[ \t]*\r?\n", re.MULTILINE)
_DASHES = b"-----"


@dataclass(frozen=True)
class Unarmored:
    """A message without what it was wrapped in.

    Attributes:
        pieces: its BER, to be read to the end. WireError as the iteration reaches it: other characters, wrong padding, no end
            line, several messages, larger than the limit.
        padding: what may follow the element: white space and NUL bytes after bare BER, nothing inside base64.
    """

    pieces: Iterator[bytes]
    padding: bytes


def remove_armor_stream(chunks: Iterable[bytes], limit_bytes: int) -> Unarmored:
    """The BER element of a message, piece by piece; no other than `remove_armor` takes.

    Args:
        chunks: the message, cut anywhere: PEM, base64 with any white space, S/MIME text with its headers, or BER.
        limit_bytes: the largest acceptable message, in the form it comes in.

    Raises:
        WireError: another label, a marker that does not start a line, larger than the limit.
    """
    source = _bounded(chunks, limit_bytes)
    head = _read_head(source)
    text = head.lstrip(_WHITE)
    text = _BLANK_LINE.split(text, maxsplit=1)[-1] if _HEADER_LINE.match(text) else head
    # base64 that begins with this character would not be a SEQUENCE
    if text[:1] == bytes((_SEQUENCE,)):
        return Unarmored(chain((text,), source), _WHITE + b"\0")
    begin = _BEGIN.search(text) if b"-----BEGIN " in text else None
    if b"-----BEGIN " in text and begin is None:
        raise WireError("a PEM marker that does not start a line", what="PEM")
    label = begin[1] if begin else None
    if label is not None and label.decode("ascii") not in LABELS_CMS:
        raise WireError(f"a PEM block is labelled {label.decode('ascii')}", what="PEM")
    return Unarmored(_decoded(text[begin.end() :] if begin else text, source, label), b"")


def _bounded(chunks: Iterable[bytes], limit_bytes: int) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit_bytes:
            raise WireError(f"the message is larger than {limit_bytes} bytes", what="message")
        if chunk:
            yield chunk


def _read_head(source: Iterator[bytes]) -> bytes:
    """Enough to see in what form the message comes: one byte of BER, or all of what may be before base64."""
    head = b""
    for chunk in source:
        head += chunk
        if head[0] == _SEQUENCE or len(head) >= _MAX_PREAMBLE_BYTES:
            break
    return head


def _decoded(text: bytes, source: Iterator[bytes], label: bytes | None) -> Iterator[bytes]:
    decoder = _Base64(b"\0" if label is None else b"")
    for chunk in _until_end(text, source, label):
        piece = decoder.feed(chunk)
        if piece:
            yield piece
    yield decoder.last()


def _until_end(text: bytes, source: Iterator[bytes], label: bytes | None) -> Iterator[bytes]:
    """The base64 text, up to the end line if it is armoured; nothing that is armoured may follow."""
    end = _DASHES + b"END " + label + _DASHES if label is not None else None
    pending = text
    while end is not None:
        at = pending.find(end)
        if at >= 0:
            yield pending[:at]
            _refuse_second(pending[at + len(end) :], source)
            return
        keep = len(end) - 1
        yield pending[:-keep]
        chunk = next(source, None)
        if chunk is None:
            raise WireError("the PEM block has no end line", what="PEM")
        pending = pending[-keep:] + chunk
    yield pending
    yield from source


def _refuse_second(rest: bytes, source: Iterator[bytes]) -> None:
    marker = b"-----BEGIN "
    while True:
        if marker in rest:
            raise WireError("the message holds several PEM blocks where one is expected", what="PEM")
        chunk = next(source, None)
        if chunk is None:
            return
        rest = rest[-len(marker) :] + chunk


class _Base64:
    """Strict base64 but for white space, in pieces.

    Args:
        padding: bytes that are no part of it at its end.
    """

    def __init__(self, padding: bytes) -> None:
        self._padding = padding
        self._pending = b""
        self._ended = False

    def feed(self, text: bytes) -> bytes:
        """What can be decoded by now."""
        packed = text.translate(None, _WHITE)
        stripped = packed.rstrip(self._padding) if self._padding else packed
        if self._ended and stripped:
            raise WireError("base64 that goes on after its end", what="base64")
        self._ended = self._ended or len(stripped) != len(packed)
        pending = self._pending + stripped
        # the last group may hold the padding, which only the end may have
        whole = max(0, (len(pending) - 1) // 4 * 4)
        self._pending = pending[whole:]
        return _strict(pending[:whole], last=False) if whole else b""

    def last(self) -> bytes:
        """The last group, which may be padded."""
        return _strict(self._pending, last=True)


def _strict(packed: bytes, *, last: bool) -> bytes:
    if not last and b"=" in packed:
        raise WireError("base64 with padding in the middle", what="base64")
    try:
        decoded = binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error as error:
        raise WireError(f"not base64: {error}", what="base64") from error
    if binascii.b2a_base64(decoded, newline=False) != packed:
        raise WireError("base64 with wrong padding", what="base64")
    return decoded
