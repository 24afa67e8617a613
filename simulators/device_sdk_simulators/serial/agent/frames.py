"""Frames of the serial protocol (docs/serial-protocol.md section 2)."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

DELIMITER = b"~"
MOST_PAYLOAD = 1024
_MOST_CANDIDATE = 2112
_LEAST = 32
_FROM_STATION = b"HMDANB"
_HEAD = re.compile(rb"([01])([A-Za-z])([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{6})([0-9a-f]{4})")
_BAD_ESCAPE = re.compile(rb"\}(?![\]^])")
_NOT_PRINTABLE = re.compile(rb"[^ -~]")


@dataclass(frozen=True)
class Frame:
    """One frame: type letter, session, number of the message, offset, payload."""

    type: str
    session: str
    message: int = 0
    offset: int = 0
    payload: bytes = b""

    def to_bytes(self) -> bytes:
        """As it goes over the line, with both delimiters."""
        version = "0" if self.type in "Hh" else "1"
        head = f"{version}{self.type}{self.session}{self.message:04x}{self.offset:06x}{len(self.payload):04x}"
        body = head.encode() + self.payload
        body += b"%08x" % zlib.crc32(body)
        return DELIMITER + body.replace(b"}", b"}]").replace(DELIMITER, b"}^") + DELIMITER


class FrameReader:
    """Finds the station's frames in what comes over the line.

    Attributes:
        damaged: the sessions of what was dropped and was like a frame of the station; whoever looks takes them away.
    """

    def __init__(self) -> None:
        self._collected = bytearray()
        self._too_long = False
        self.damaged: set[str] = set()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in this piece."""
        *ends, rest = data.split(DELIMITER)
        frames = []
        for piece in ends:
            self._collect(piece)
            frames += self._candidate()
        self._collect(rest)
        return frames

    def _collect(self, piece: bytes) -> None:
        room = _MOST_CANDIDATE - len(self._collected)
        self._too_long |= len(piece) > room
        self._collected += piece[: max(0, room)]

    def _candidate(self) -> list[Frame]:
        candidate, too_long = bytes(self._collected), self._too_long
        self._collected.clear()
        self._too_long = False
        if not candidate:
            return []
        frame = None if too_long else read_body(candidate)
        if frame is None and len(candidate) >= _LEAST and candidate[:1] == b"1" and candidate[1] in _FROM_STATION:
            self.damaged.add(candidate[2:10].decode("ascii", "replace"))
        return [frame] if frame else []


def read_body(candidate: bytes) -> Frame | None:
    """What is between two delimiters as a frame of the station, or None."""
    if _NOT_PRINTABLE.search(candidate) or _BAD_ESCAPE.search(candidate):
        return None
    # a delimiter cannot be in it, so the order of the two does not matter
    body = re.sub(rb"\}(.)", lambda match: bytes([match[1][0] ^ 0x20]), candidate)
    head = _HEAD.match(body)
    if head is None or len(body) < _LEAST or head[2] not in [bytes([one]) for one in _FROM_STATION]:
        return None
    length = int(head[6], 16)
    end = head.end()
    if length > MOST_PAYLOAD or len(body) != end + length + 8 or (head[1] == b"0") != (head[2] == b"H"):
        return None
    if body[-8:] != b"%08x" % zlib.crc32(body[:-8]):
        return None
    return Frame(head[2].decode(), head[3].decode(), int(head[4], 16), int(head[5], 16), body[end:-8])
