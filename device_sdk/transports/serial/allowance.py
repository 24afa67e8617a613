"""How much is read of a line: ptys and sockets have no baud rate, and a flood would take the time of all other lines."""

from __future__ import annotations

BURST = 256 * 1024
"""What may come at once. A device that answers is far below it."""


class Allowance:
    """Fills up with time, and is used up by what is read.

    Args:
        rate: octets a second in the long run.
        now: the time, of a clock that does not jump.
    """

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._at = rate, now
        self._left = float(BURST)

    def room(self, now: float) -> int:
        """How many octets may be read now."""
        self._left = min(float(BURST), self._left + (now - self._at) * self._rate)
        self._at = now
        return int(self._left)

    def take(self, count: int) -> None:
        """So many were read."""
        self._left -= count
