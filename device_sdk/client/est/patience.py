"""One deadline for everything a caller waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from device_sdk.client.est.clock import Clock
from device_sdk.protocols.est.responses import Pending

Progress: TypeAlias = Callable[[Pending], None]
"""Told before each wait: after a 202, and after a 429, 503 or failed connection (see Pending.status_code)."""


class Patience:
    """How much longer a caller waits; begins when it is made, and is shared by all requests of one call.

    Args:
        clock: the time.
        wait_s: seconds in all; None or 0 waits for nothing.
        progress: told before each wait.
    """

    def __init__(self, clock: Clock, wait_s: float | None = None, progress: Progress | None = None) -> None:
        self._clock, self._progress = clock, progress
        self._deadline = clock.monotonic() + (wait_s or 0.0)

    def left_s(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._deadline - self._clock.monotonic()

    def tell(self, pending: Pending) -> None:
        """Report what is being waited for."""
        if self._progress:
            self._progress(pending)

    def wait(self, seconds: float) -> bool:
        """Wait, and give True; give False at once if the deadline would pass meanwhile."""
        if seconds > self.left_s():
            return False
        self._clock.sleep(seconds)
        return True
