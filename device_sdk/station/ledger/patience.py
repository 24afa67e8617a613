"""How long the writers of one process wait for a database that does not come: one wait for all of them, not one for each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK_S = 0.1
_BEHIND_S = 1.0  # whoever has the turn knows more of why
HURRIED_S = 3.0
"""What an attempt may take in any case."""


class Patience:
    """One writer after the other; threads share it. What a signal's handler may call takes no lock.

    Args:
        wait_s: how long to wait for others who write, seconds.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._turn = threading.Lock()
        self._began: float | None = None  # since when nothing could be written that was to be
        self._failed: float | None = None
        self._error: Exception | None = None
        self._hurried: float | None = None

    def hurry(self) -> None:
        """From now on a database that works is written to, and one that does not is not waited for."""
        self._hurried = time.monotonic()

    @property
    def hurried(self) -> bool:
        """Whether somebody is in a hurry."""
        return self._hurried is not None

    @property
    def waited_s(self) -> float:
        """For how long somebody has been waiting; 0 where nobody is."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def left_s(self) -> float:
        """For how long somebody who waits now to write may go on with it; less than 0 if it was enough."""
        return self.left_of(self._began or time.monotonic())

    def left_of(self, began: float) -> float:
        """The same for somebody who has been waiting since then (time.monotonic())."""
        end, hurried = began + self._wait_s, self._hurried
        return (end if hurried is None else min(end, max(began, hurried) + HURRIED_S)) - time.monotonic()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """The turn of this thread.

        Raises:
            TimeoutError: it did not come, or the database failed whoever had it meanwhile; the cause is what that one was told.
        """
        came = time.monotonic()
        self._wait()
        while not self._turn.acquire(timeout=_LOOK_S):
            self._wait()
            if self.left_s <= -_BEHIND_S:
                raise TimeoutError from self._error
        try:
            if self._failed is not None and self._failed >= came:
                raise TimeoutError from self._error
            self._wait()
            yield
        finally:
            self._turn.release()

    def _wait(self) -> None:
        now = time.monotonic()
        if self._began is None or now - self._began > 2 * self._wait_s:  # nobody has gone on with that wait
            self._began = now

    def served(self) -> None:
        """The database did what it was asked, or said why not."""
        self._began = self._failed = self._error = None

    def failed(self, error: Exception) -> None:
        """It did not."""
        self._failed, self._error = time.monotonic(), error
