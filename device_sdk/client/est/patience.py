"""One deadline for everything a caller waits for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from math import ceil
from typing import TypeAlias

from device_sdk.client.est.clock import Clock
from device_sdk.errors import EnrolmentPendingError
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

    def telling(self, progress: Progress) -> Patience:
        """The same deadline, and somebody who is told first."""
        both = Patience(self._clock)
        both._deadline = self._deadline  # of the same class

        def told(pending: Pending) -> None:
            progress(pending)
            self.tell(pending)

        both._progress = told
        return both

    def wait_for_turn(self, retry_at: datetime, since: datetime, url: str) -> None:
        """Keep to what the server's Retry-After said in an earlier run (RFC 7030 section 4.2.3).

        Args:
            retry_at: not before this time the server wants to be asked again.
            since: when the request was sent first.
            url: where to.

        Raises:
            EnrolmentPendingError: it is too early, and patience ends before; the server was not asked.
        """
        now = self._clock.now()
        # A clock that was set back must not turn a minute into a year.
        rest_s = 0.0 if now < since else (retry_at - now).total_seconds()
        if rest_s <= 0:
            return
        if rest_s <= self.left_s():
            self.tell(Pending(rest_s, None))
        if not self.wait(rest_s):
            raise EnrolmentPendingError(
                f"{url}: the request was accepted and is not decided yet; the server wants to be left alone "
                f"for another {max(1, ceil(rest_s))} s",
                hint=f"run the same command again in {max(1, ceil(rest_s))} s; it goes on with the same key",
                url=url,
                retry_after_s=rest_s,
            )

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
