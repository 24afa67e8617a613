"""How long an acknowledgement is waited for, and how large frames are on a line that loses some."""

from __future__ import annotations

from collections import deque

from device_sdk.wire.agent.frames import MIN_PAYLOAD, OVERHEAD

DEFAULT_BAUD = 9600
FIRST_WAIT_S, LEAST_WAIT_S, MOST_WAIT_S = 1.0, 0.2, 8.0
PIECE, PAUSE_S = 8, 0.01
"""How a side writes that is paced: so many octets, then a pause of so many seconds."""
_BITS = 10
_HALVE_AFTER, _PACE_AFTER, _GROW_AFTER, _HURRY_AFTER = 2, 3, 16, 64


class Timing:
    """What one sender has learnt of its line (docs/serial-protocol.md section 3.5).

    Args:
        baud: bits in a second; an octet takes ten.
        receive: the largest payload the other side takes.
        paced: whether to begin so.

    Attributes:
        payload: octets of payload a frame may have now.
        paced: whether to write in pieces of 8 octets with 10 ms between them.
    """

    def __init__(self, baud: int, receive: int, *, paced: bool = False) -> None:
        self._baud, self._receive = baud, receive
        self._rounds: deque[float] = deque(maxlen=8)
        self._timeouts = self._losses = self._well = self._paced_well = 0
        self._hurry_after = _HURRY_AFTER
        self.payload = receive
        self.paced = paced

    def line_s(self, octets: int) -> float:
        """How long these octets are on the line, in seconds."""
        return _BITS * octets / self._baud + (octets / PIECE * PAUSE_S if self.paced else 0)

    def wait_s(self, octets: int) -> float:
        """From now, when a frame of so many octets is handed to the line, until it is taken for lost, in seconds."""
        first = FIRST_WAIT_S + self.line_s(octets + OVERHEAD)
        if self._rounds:
            least = LEAST_WAIT_S + self.line_s(octets + OVERHEAD)
            first = min(first, max(least, 2 * max(self._rounds)))
        return self.line_s(octets) + min(first * 2.0 ** min(self._timeouts, 10), max(first, MOST_WAIT_S))

    def acknowledged(self, round_s: float | None) -> None:
        """The message moved on; after so many seconds, None if it is not known which sending was answered."""
        if round_s is not None:
            self._rounds.append(round_s)
        self._timeouts = self._losses = 0
        self._well += 1
        if self._well >= _GROW_AFTER and self.payload < self._receive:
            self.payload, self._well = min(self._receive, 2 * self.payload), 0
        self._paced_well += self.paced
        if self._paced_well >= self._hurry_after:
            # a trial, the next one after twice as many
            self.paced, self._paced_well, self._hurry_after = False, 0, 2 * self._hurry_after

    def lost(self, *, timeout: bool) -> None:
        """A frame was lost: nothing came in time, or the other side said that something was damaged."""
        self._timeouts += timeout
        self._losses += 1
        self._well = 0
        if self._losses >= _HALVE_AFTER:
            self.payload = max(MIN_PAYLOAD, self.payload // 2)
        if self._losses >= _PACE_AFTER:
            self.pace()

    def pace(self) -> None:
        """Write in pieces for a while: what this side writes does not get there."""
        self.paced, self._paced_well = True, 0
