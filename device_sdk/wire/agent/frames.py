"""Frames on a serial line: printable ASCII between delimiters, with a CRC-32 (docs/serial-protocol.md section 2)."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from device_sdk.errors import WireError

VERSION = 1
MIN_PAYLOAD, MAX_PAYLOAD = 96, 1024
MAX_MESSAGE = 524_288
OVERHEAD = 34
"""Octets of a frame without payload, on the line."""
NO_SESSION = "00000000"

HELLO, BEGIN, DATA, ACK, DAMAGED, LOST, BYE = "h", "m", "d", "a", "n", "r", "b"
"""Types as the agent sends them; the station's are the same letters in upper case."""

_DELIMITER = b"~"
_MIN_BODY, _MAX_CANDIDATE = 32, 2112
_BAD_ESCAPE = re.compile(rb"\}(?![\]^])")
_BODY = re.compile(
    rb"([01])([A-Za-z])([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{6})([0-9a-f]{4})([ -~]{0,%d})([0-9a-f]{8})" % MAX_PAYLOAD
)
_PRINTABLE = re.compile(rb"[ -~]*")
_STATION, _AGENT = "HMDANB", "hmdanrb"


@dataclass(frozen=True)
class Frame:
    """One frame, without what the line does to it.

    Attributes:
        kind: its type, one letter: upper case from the station, lower case from the agent.
        session: 8 hex digits.
        message: number of the message, 0 to 65535.
        offset: where in the message, below 16 Mi.
        payload: printable ASCII, at most MAX_PAYLOAD octets.
    """

    kind: str
    session: str = NO_SESSION
    message: int = 0
    offset: int = 0
    payload: bytes = b""

    def to_bytes(self) -> bytes:
        """The frame as it goes onto the line, with its delimiters.

        Raises:
            WireError: it does not fit, or its payload is not printable ASCII.
        """
        if len(self.payload) > MAX_PAYLOAD or not _PRINTABLE.fullmatch(self.payload):
            raise WireError("a payload is printable ASCII of at most 1024 octets", what="frame")
        version = "0" if self.kind in "Hh" else str(VERSION)
        head = f"{version}{self.kind}{self.session}{self.message:04x}{self.offset:06x}{len(self.payload):04x}"
        body = head.encode() + self.payload
        body += b"%08x" % zlib.crc32(body)
        return b"~" + body.replace(b"}", b"}]").replace(b"~", b"}^") + b"~"


@dataclass(frozen=True)
class Noise:
    """Something between two delimiters that is no frame; `session` is its session, if it was one, as far as can be told."""

    session: str | None


class FrameReader:
    """Finds the frames in what comes over a line; keeps at most 2112 octets, whatever comes.

    Args:
        of_agent: whether the agent's frames are wanted; those of the station are an echo then, and the other way round.
    """

    def __init__(self, *, of_agent: bool) -> None:
        self._kinds = _AGENT if of_agent else _STATION
        letters = (_AGENT if of_agent else _STATION).encode()
        self._like = re.compile(rb"1[%b]([ -~]{8})[ -~]{22}" % letters)
        self._kept = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> Iterator[Frame | Noise]:
        """What these further octets complete; each piece is looked at once.

        Args:
            data: any number of octets, in any split.
        """
        *ended, rest = data.split(_DELIMITER)
        for piece in ended:
            if not piece and not self._kept:
                continue
            self._keep(piece)
            found = self._candidate()
            self._kept.clear()
            self._too_long = False
            if found is not None:
                yield found
        self._keep(rest)

    def _keep(self, piece: bytes) -> None:
        room = _MAX_CANDIDATE - len(self._kept)
        self._too_long = self._too_long or len(piece) > room
        self._kept += piece[:room]

    def _candidate(self) -> Frame | Noise | None:
        """What was between two delimiters; None for nothing, and for what is of the other direction."""
        body = bytes(self._kept)
        if not body:
            return None
        frame = None if self._too_long or _BAD_ESCAPE.search(body) else _read(body)
        if frame is None:
            match = self._like.match(body)
            return Noise(match[1].decode() if match else None)
        return frame if frame.kind in self._kinds else None


def _read(body: bytes) -> Frame | None:
    # in this order: what stands for the delimiter has no escape in it
    plain = body.replace(b"}^", b"~").replace(b"}]", b"}")
    match = _BODY.fullmatch(plain)
    if match is None or int(match[6], 16) != len(match[7]) or int(match[8], 16) != zlib.crc32(plain[:-8]):
        return None
    kind = match[2].decode()
    if (match[1] == b"0") != (kind in "Hh"):
        return None
    return Frame(kind, match[3].decode(), int(match[4], 16), int(match[5], 16), match[7])
