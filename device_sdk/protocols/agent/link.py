"""What both ends of a link have in common: a reader, a sender and a receiver of one session, and what waits to be written."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from device_sdk.protocols.agent.events import Arrived, Event
from device_sdk.protocols.agent.receiver import Receiver, Unfinished
from device_sdk.protocols.agent.sender import Sender
from device_sdk.protocols.agent.timing import Timing
from device_sdk.wire.agent.frames import ACK, BEGIN, DAMAGED, DATA, NO_SESSION, Frame, FrameReader, Noise

_LOST_ANSWERS = 2
SELDOM_S = 0.25
"""How often a side may say that something was damaged, or that it knows no such session."""


class Link:
    """One end. All times are seconds of any clock that does not jump.

    `receive` takes what was read and says what happened; `outgoing` gives what is to be written; `wake_at` says when to
    come back though nothing was read.
    """

    def __init__(self, baud: int, receive: int, *, station: bool) -> None:
        self._baud, self._receive, self._station = baud, receive, station
        self._reader = FrameReader(of_agent=station)
        self._out: deque[bytes] = deque()
        self._session = NO_SESSION
        self._timing = Timing(baud, receive)
        self._sender: Sender | None = None
        self._receiver = Receiver()
        self._complained_at: float | None = None
        # what was acknowledged last, and how often in a row: the other side does not hear it
        self._said, self._repeated = (0, 0), 0
        self.heard_at: float | None = None

    @property
    def session(self) -> str | None:
        """The session that is open, or None."""
        return self._session if self._sender else None

    @property
    def paced(self) -> bool:
        """Whether to write in pieces of 8 octets with 10 ms between them: the other side loses what comes faster."""
        return self._timing.paced

    @property
    def idle(self) -> bool:
        """Whether all that was sent has been acknowledged."""
        return self._sender is None or self._sender.idle

    @property
    def waiting(self) -> int:
        """How many messages have not been begun yet: the other side does not take them."""
        return self._sender.waiting if self._sender is not None else 0

    def send(self, message: bytes) -> None:
        """Send a message; nothing happens without a session.

        Raises:
            WireError: empty, or too long.
        """
        if self._sender is not None:
            self._sender.push(message)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What these octets, or the time that has passed, bring about; b"" if nothing was read in time."""
        happened: list[Event] = []
        for found in self._reader.feed(data):
            if isinstance(found, Noise):
                self._complain(found, now)
            else:
                happened += self._heard(found, now)
        happened += self._passed(now)
        return happened

    def outgoing(self, now: float) -> list[bytes]:
        """The frames to write now, in this order."""
        if self._sender is not None:
            frame = self._sender.due(now)
            if frame is not None:
                self._out.append(frame)
        frames = list(self._out)
        self._out.clear()
        return frames

    def wake_at(self) -> float | None:
        """When to call `outgoing` again, though nothing comes; None if there is nothing to wait for."""
        if self._out:
            return 0.0
        return self._sender.wake_at() if self._sender is not None else None

    def _heard(self, frame: Frame, now: float) -> Iterable[Event]:
        raise NotImplementedError

    def _passed(self, now: float) -> Iterable[Event]:
        raise NotImplementedError

    def _in_session(self, frame: Frame, now: float) -> Iterable[Event]:
        """A frame of the present session."""
        self.heard_at = now
        if self._sender is None:
            return
        self._sender.unheard = 0
        kind = frame.kind.lower()
        if kind == ACK:
            self._sender.on_acknowledgement(frame.message, frame.offset, now)
        elif kind == DAMAGED:
            again = self._sender.on_damage(now)
            if again is not None:
                self._out.append(again)
        elif kind in (BEGIN, DATA):
            offset, message = self._receiver.take(frame)
            if offset is not None:
                self._repeated = self._repeated + 1 if (frame.message, offset) == self._said else 0
                self._said = (frame.message, offset)
                if self._repeated >= _LOST_ANSWERS:
                    self._timing.pace()
                self._put(ACK, frame.message, offset)
            if message is not None:
                yield Arrived(message)

    def _put(self, kind: str, message: int = 0, offset: int = 0, *, session: str = "", payload: bytes = b"") -> None:
        kind = kind.upper() if self._station else kind
        self._out.append(Frame(kind, session or self._session, message, offset, payload).to_bytes())

    def _open(self, session: str, receive: int) -> None:
        kept = self._receiver.unfinished
        self._session = session
        self._timing = Timing(self._baud, receive, paced=self._timing.paced)
        self._sender = Sender(session, self._timing, station=self._station)
        self._receiver = Receiver(kept)

    def _drop(self) -> None:
        """Forget the session, and nothing of what came of an unfinished message."""
        kept: Unfinished | None = self._receiver.unfinished
        self._session, self._sender, self._receiver = NO_SESSION, None, Receiver(kept)

    def _is_silent(self, now: float) -> bool:
        return self._sender is not None and (self._sender.is_silent(now) or self._sender.hopeless)

    def _complain(self, noise: Noise, now: float) -> None:
        # only to who knows the session already
        if self._sender is not None and noise.session == self._session and self._seldom(now):
            self._put(DAMAGED)

    def _seldom(self, now: float) -> bool:
        """Whether it is time to complain again: whoever sends rubbish for ever gets few answers."""
        if self._complained_at is not None and now - self._complained_at < SELDOM_S:
            return False
        self._complained_at = now
        return True
