"""The sending half of one side: messages to frames, one of them outstanding (docs/serial-protocol.md section 3.2)."""

from __future__ import annotations

import hashlib
from collections import deque

from device_sdk.errors import WireError
from device_sdk.protocols.agent.timing import Timing
from device_sdk.wire.agent.frames import BEGIN, DATA, MAX_MESSAGE, Frame

_BEGINNING = 70
_MOST_RESTARTS = 8
MOST_REPEATS = 8


class Sender:
    """Sends messages in order, each until it is acknowledged whole.

    Args:
        session: of all frames.
        station: whether this is the station's side.
        timing: of this direction.

    Attributes:
        unheard: repetitions since something valid came from the other side.
        hopeless: the other side took a message whole nine times, and found it damaged each time.
    """

    def __init__(self, session: str, timing: Timing, *, station: bool) -> None:
        self._session, self._timing, self._station = session, timing, station
        self._waiting: deque[bytes] = deque()
        self._data, self._digest = b"", ""
        self._number = self._acknowledged = self._restarts = 0
        # when the outstanding frame was handed over, and when it is taken for lost; None if none is outstanding
        self._sent_at: float | None = None
        self._again_at: float | None = None
        self._repeated = self._told = False
        self.unheard = 0
        self.hopeless = False

    @property
    def idle(self) -> bool:
        """Whether everything has been acknowledged."""
        return not self._data and not self._waiting

    @property
    def waiting(self) -> int:
        """How many messages have not been begun yet."""
        return len(self._waiting)

    def is_silent(self, now: float) -> bool:
        """Whether eight repetitions, and the pause after the last one, have passed without a word of the other side."""
        return self.unheard >= MOST_REPEATS and self._again_at is not None and now >= self._again_at

    def push(self, message: bytes) -> None:
        """Send this after what is waiting.

        Raises:
            WireError: empty, or too long.
        """
        if not 0 < len(message) <= MAX_MESSAGE:
            raise WireError(f"a message of {len(message)} octets, the limit is {MAX_MESSAGE}", what="message")
        self._waiting.append(message)

    def wake_at(self) -> float | None:
        """When `due` has something to say: a time, 0 for at once, None for not until something comes."""
        if self._again_at is not None:
            return self._again_at
        return None if self.idle else 0.0

    def due(self, now: float) -> bytes | None:
        """The frame that goes out now, if one does."""
        if self._again_at is None:
            if not self._data and not self._next():
                return None
            self._repeated = False
        elif now < self._again_at:
            return None
        else:
            self._timing.lost(timeout=True)
            self.unheard += 1
            self._repeated = True
        self._told = False
        return self._frame(now)

    def on_acknowledgement(self, number: int, offset: int, now: float) -> None:
        """The other side has `offset` octets of message `number`."""
        if not self._data or number != self._number or offset > len(self._data):
            return
        if offset == 0:
            self._begin_again()
        elif offset > self._acknowledged:
            round_s = None if self._repeated or self._sent_at is None else now - self._sent_at
            self._timing.acknowledged(round_s)
            self._acknowledged, self._again_at = offset, None
            if offset == len(self._data):
                self._data = b""

    def on_damage(self, now: float) -> bytes | None:
        """The other side saw something damaged: the outstanding frame again, once."""
        if self._again_at is None or self._told:
            return None
        self._timing.lost(timeout=False)
        self._told = self._repeated = True
        return self._frame(now)

    def _next(self) -> bool:
        if not self._waiting:
            return False
        self._data = self._waiting.popleft()
        self._digest = hashlib.sha256(self._data).hexdigest()
        self._number = self._number % 0xFFFF + 1
        self._acknowledged = self._restarts = 0
        return True

    def _begin_again(self) -> None:
        self._restarts += 1
        self.hopeless = self._restarts > _MOST_RESTARTS
        self._acknowledged, self._again_at = 0, None

    def _frame(self, now: float) -> bytes:
        at, most = self._acknowledged, self._timing.payload
        if at:
            kind, payload = DATA, self._data[at : at + most]
        else:
            head = f"{len(self._data):06x}{self._digest}".encode()
            kind, payload = BEGIN, head + self._data[: most - _BEGINNING]
        kind = kind.upper() if self._station else kind
        data = Frame(kind, self._session, self._number, at, payload).to_bytes()
        self._sent_at, self._again_at = now, now + self._timing.wait_s(len(data))
        return data
