"""The agent's end of the link (docs/serial-protocol.md section 3): frames in, whole messages out. No clock, no line."""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from dataclasses import dataclass, field

from device_sdk_simulators.serial.agent.frames import Frame, FrameReader
from device_sdk_simulators.serial.agent.messages import MOST_MESSAGE, BadMessageError, read_object, write_object

_BEGIN = 70
_NOBODY = "00000000"
_LAST_NUMBER = 65535
_MOST_BEGINNINGS = 9
_MOST_REPETITIONS = 8
_LEAST_PAYLOAD, _USUAL_PAYLOAD, _MOST_PAYLOAD = 96, 256, 1024
_LEAST_PAUSE_S = 0.25
_SESSION_S = 120.0


@dataclass
class Incoming:
    """A message under way to us."""

    number: int
    length: int
    digest: bytes
    data: bytearray = field(default_factory=bytearray)


@dataclass
class Outgoing:
    """A message under way from us."""

    number: int
    data: bytes
    seen: int = 0
    beginnings: int = 0
    last: Frame | None = None
    repetitions: int = 0
    silence: int = 0
    due: float = 0.0
    hurried: bool = False


class AgentLink:
    """One agent's link.

    Args:
        baud: for the times of section 3.5.
        versions: what it says it speaks.
        receive: the largest payload it takes.
        keepalive: seconds between two messages of progress.
        sdk: what it says it runs.

    Attributes:
        messages: whole messages that came; whoever handles them takes them away.
        out: octets for the line; likewise.
        session: the present one, or None.
        ended: whether the station said bye.
    """

    def __init__(
        self,
        baud: int = 9600,
        versions: tuple[int, ...] = (1,),
        receive: int = _USUAL_PAYLOAD,
        keepalive: int = 5,
        sdk: str = "simulated",
    ) -> None:
        self._baud, self._versions, self._receive = baud or 9600, versions, receive
        self._keepalive, self._sdk = keepalive, sdk
        self._boot = secrets.token_hex(8)
        self._reader = FrameReader()
        self.messages: deque[bytes] = deque()
        self.out = bytearray()
        self.session: str | None = None
        self.ended = False
        self._nonce = ""
        self._kept: Incoming | None = None
        self._incoming: Incoming | None = None
        self._reset_at = self._damaged_at = -_LEAST_PAUSE_S
        self._heard_at = 0.0
        self._begin_session(None)

    def _begin_session(self, session: str | None) -> None:
        if self._incoming is not None and self._incoming.data:
            self._kept = self._incoming
        self.session = session
        self._last_number, self._last_length = 0, 0
        self._incoming = None
        self._outgoing: Outgoing | None = None
        self._queue: deque[bytes] = deque()
        self._number = 0
        self._payload = _USUAL_PAYLOAD
        self._allowed = _USUAL_PAYLOAD
        self._good = 0

    def start(self) -> None:
        """The agent has started: say so."""
        self._send(Frame("r", _NOBODY))

    def _send(self, frame: Frame) -> None:
        self.out += frame.to_bytes()

    def feed(self, data: bytes, now: float) -> None:
        """What came over the line."""
        if self.session and now - self._heard_at >= _SESSION_S:
            self._begin_session(None)
        for frame in self._reader.feed(data):
            if self._outgoing is not None:
                self._outgoing.silence = 0
            self._take(frame, now)
        if self._reader.damaged:
            known = self.session in self._reader.damaged
            self._reader.damaged.clear()
            if known and self.session and now - self._damaged_at >= _LEAST_PAUSE_S:
                self._damaged_at = now
                self._send(Frame("n", self.session))

    def _take(self, frame: Frame, now: float) -> None:
        if frame.type == "H" or frame.session == self.session:
            self._heard_at = now
        if frame.type == "H":
            self._hello(frame)
        elif frame.type == "B":
            self._send(Frame("b", frame.session))
            if self.session in (None, frame.session):
                self._begin_session(None)
                self.ended = True
        elif frame.session != self.session:
            if now - self._reset_at >= _LEAST_PAUSE_S:
                self._reset_at = now
                self._send(Frame("r", frame.session))
        elif frame.type == "A":
            self._acknowledged(frame, now)
        elif frame.type == "N":
            self._hurry(now)
        else:
            self._receive_part(frame)

    def _hello(self, frame: Frame) -> None:
        try:
            if len(frame.payload) > _USUAL_PAYLOAD or frame.session == _NOBODY:
                return
            hello = read_object(frame.payload)
        except BadMessageError:
            return
        theirs, receive = hello.get("versions"), hello.get("receive", _USUAL_PAYLOAD)
        if not isinstance(theirs, list) or not isinstance(receive, int):
            return
        both = [one for one in theirs if one in self._versions]
        if both and (self.session is None or frame.session != self._nonce):
            self._begin_session(secrets.token_hex(4))
            self._nonce = frame.session
            self._payload = self._allowed = min(max(receive, _LEAST_PAYLOAD), _MOST_PAYLOAD)
        self.ended = False
        answer: dict[str, object] = {
            "versions": list(self._versions),
            "version": max(both, default=0),
            "session": self.session if both and self.session else _NOBODY,
            "boot": self._boot,
            "receive": self._receive,
            "keepalive": self._keepalive,
            "sdk": self._sdk,
        }
        self._send(Frame("h", frame.session, payload=write_object(answer)))

    # what comes (section 3.3)

    def _receive_part(self, frame: Frame) -> None:
        following = self._last_number % _LAST_NUMBER + 1
        if frame.message == following:
            self._following(frame)
        elif frame.message == self._last_number:
            self._acknowledge(frame.message, self._last_length)

    def _following(self, frame: Frame) -> None:
        if frame.type == "M" and self._incoming is None:
            if not self._begin_message(frame):
                return
        elif frame.type == "D" and self._incoming is not None and frame.offset == len(self._incoming.data):
            self._append(self._incoming, frame.payload)
        self._acknowledge(frame.message, len(self._incoming.data) if self._incoming else 0)
        self._finish()

    def _append(self, incoming: Incoming, data: bytes) -> None:
        if len(incoming.data) + len(data) <= incoming.length:
            incoming.data += data

    def _begin_message(self, frame: Frame) -> bool:
        head, data = frame.payload[:_BEGIN], frame.payload[_BEGIN:]
        try:
            length, digest = int(head[:6], 16), bytes.fromhex(head[6:].decode())
        except ValueError:
            return False
        if not data or not 0 < length <= MOST_MESSAGE or len(data) > length or len(digest) != 32:
            return False
        incoming = Incoming(frame.message, length, digest)
        if self._kept is not None and (self._kept.length, self._kept.digest) == (length, digest):
            incoming.data, self._kept = self._kept.data, None
        else:
            self._kept = None
            incoming.data += data
        self._incoming = incoming
        return True

    def _acknowledge(self, number: int, octets: int) -> None:
        if self.session:
            incoming = self._incoming
            if incoming is not None and octets == incoming.length and not _is_whole(incoming):
                self._incoming, octets = None, 0
            self._send(Frame("a", self.session, number, octets))

    def _finish(self) -> None:
        incoming = self._incoming
        if incoming is not None and len(incoming.data) == incoming.length:
            self._last_number, self._last_length = incoming.number, incoming.length
            self._incoming = None
            self.messages.append(bytes(incoming.data))

    # what goes

    def send(self, message: bytes, now: float) -> None:
        """Send a message when those before it are through; nothing without a session."""
        if self.session:
            self._queue.append(message)
            self._next(now)

    @property
    def waiting(self) -> int:
        """How many messages wait until the one before them has arrived."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether everything that was to be sent has arrived."""
        return self._outgoing is None and not self._queue

    def _next(self, now: float) -> None:
        if self._outgoing is None and self._queue:
            self._number = self._number % _LAST_NUMBER + 1
            self._outgoing = Outgoing(self._number, self._queue.popleft())
            self._part(0, now)

    def _part(self, offset: int, now: float) -> None:
        outgoing = self._outgoing
        if outgoing is None or not self.session:
            return
        if offset == 0:
            head = f"{len(outgoing.data):06x}{hashlib.sha256(outgoing.data).hexdigest()}".encode()
            payload = head + outgoing.data[: self._payload - _BEGIN]
            outgoing.last = Frame("m", self.session, outgoing.number, 0, payload)
        else:
            payload = outgoing.data[offset : offset + self._payload]
            outgoing.last = Frame("d", self.session, outgoing.number, offset, payload)
        outgoing.repetitions = 0
        outgoing.hurried = False
        self._put(outgoing, now)

    def _put(self, outgoing: Outgoing, now: float) -> None:
        if outgoing.last is not None:
            octets = outgoing.last.to_bytes()
            self.out += octets
            size = len(octets)
            pause = min(1.0 * 2**outgoing.repetitions, 8.0)
            outgoing.due = now + size * 10 / self._baud + pause + (size + 34) * 10 / self._baud

    def _acknowledged(self, frame: Frame, now: float) -> None:
        outgoing = self._outgoing
        if outgoing is None or frame.message != outgoing.number or frame.offset > len(outgoing.data):
            return
        if frame.offset == len(outgoing.data):
            self._outgoing = None
            self._next(now)
        elif frame.offset == 0:
            outgoing.beginnings += 1
            outgoing.seen = 0
            if outgoing.beginnings >= _MOST_BEGINNINGS:
                self._begin_session(None)
            else:
                self._part(0, now)
        elif frame.offset > outgoing.seen:
            outgoing.seen = frame.offset
            self._grow()
            self._part(frame.offset, now)

    def _grow(self) -> None:
        self._good += 1
        if self._good % 16 == 0:
            self._payload = min(self._payload * 2, self._allowed)

    def _hurry(self, now: float) -> None:
        outgoing = self._outgoing
        if outgoing is not None and not outgoing.hurried:
            outgoing.hurried = True
            self._put(outgoing, now)

    @property
    def due(self) -> float | None:
        """When `tick` has to be called; None for never."""
        return self._outgoing.due if self._outgoing else None

    def tick(self, now: float) -> None:
        """Time has passed: send again what was not acknowledged."""
        outgoing = self._outgoing
        if outgoing is None or now < outgoing.due:
            return
        outgoing.repetitions += 1
        outgoing.silence += 1
        outgoing.hurried = False
        if outgoing.silence > _MOST_REPETITIONS:
            self._begin_session(None)
            return
        if outgoing.repetitions >= 2:
            self._good = 0
            self._payload = max(_LEAST_PAYLOAD, self._payload // 2)
            self._shorten(outgoing)
        self._put(outgoing, now)

    def _shorten(self, outgoing: Outgoing) -> None:
        frame = outgoing.last
        if frame is not None and len(frame.payload) > self._payload:
            outgoing.last = Frame(
                frame.type, frame.session, frame.message, frame.offset, frame.payload[: self._payload]
            )


def _is_whole(incoming: Incoming) -> bool:
    return hashlib.sha256(incoming.data).digest() == incoming.digest
