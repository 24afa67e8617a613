"""How often something is tried again, and after how long."""

from __future__ import annotations

from device_sdk.station.profile.steps import LimitsTable

_LONGEST_S = 30.0


class Tries:
    """Counts failures at one place; progress to another one begins anew.

    Args:
        limits: the profile's.
    """

    def __init__(self, limits: LimitsTable) -> None:
        self._limits = limits
        self._place: object = None
        self._count = 0

    def again(self, place: object) -> float | None:
        """How long to wait before the next attempt, in seconds; None if there is to be none."""
        if place != self._place:
            self._place, self._count = place, 0
        self._count += 1
        if self._count > self._limits.retries:
            return None
        return float(min(_LONGEST_S, self._limits.backoff_s * 2 ** (self._count - 1)))

    @property
    def number(self) -> int:
        """Of the attempt that follows, 2 for the second."""
        return self._count + 1
