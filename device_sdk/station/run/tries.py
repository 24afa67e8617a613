"""How often something is tried again, and after how long."""

from __future__ import annotations

from device_sdk.errors import DeviceSdkError
from device_sdk.station.profile.steps import LimitsTable

_LONGEST_S = 30.0
_PLACES = 8
"""How many times as often as at one place something is tried again in all: a device that fails elsewhere each time has an end."""


class Tries:
    """Counts failures at one place; progress to another one begins anew, up to a sum.

    Args:
        limits: the profile's.

    Attributes:
        first: what the first attempt at this place ended in.
    """

    def __init__(self, limits: LimitsTable) -> None:
        self._limits = limits
        self._place: object = None
        self.first: DeviceSdkError | None = None
        self._count = self._sum = 0

    def again(self, place: object, error: DeviceSdkError) -> float | None:
        """How long to wait before the next attempt after this failure, in seconds; None if there is to be none."""
        if place != self._place or self.first is None:
            self._place, self._count, self.first = place, 0, error
        self._count += 1
        self._sum += 1
        if self._count > self._limits.retries or self._sum > self._limits.retries * _PLACES:
            return None
        return float(min(_LONGEST_S, self._limits.backoff_s * 2 ** (self._count - 1)))

    @property
    def number(self) -> int:
        """Of the attempt that follows, 2 for the second."""
        return self._count + 1
