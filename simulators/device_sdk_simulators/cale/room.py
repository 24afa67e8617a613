"""Memory for large answers that are being made: there is so much of it, and who finds none waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SMALL = 64 * 1024
"""Bytes of an answer that needs no share: 256 of them at one time are little."""


class Room:
    """A number of bytes that all work shares which is under way at one time.

    Args:
        total: how many; asked whenever it matters.
    """

    def __init__(self, total: Callable[[], int]) -> None:
        self._total = total
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def work(self) -> Iterator[None]:
        """What `take` takes inside of it is given back at its end; work inside of other work is part of that."""
        if _SHARE.get() is not None:
            yield
            return
        share = _Share(self)
        token = _SHARE.set(share)
        try:
            yield
        finally:
            _SHARE.reset(token)
            share.close()

    @contextmanager
    def kept(self, size: int) -> Iterator[None]:
        """Count bytes that are there anyway, an answer that waits for its time."""
        counted = size if size > SMALL else 0
        self._add(counted)
        try:
            yield
        finally:
            self._add(-counted)

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self._used

    def wait_for(self, size: int, until: float) -> None:
        """Take bytes as soon as there are so many, or if nobody else has any; TimeoutError at a time (time.monotonic)."""
        with self._changed:
            # more than there is altogether comes to an end, too, alone
            while self._used and self._used + size > self._total():
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError("no memory for a large answer")
                self._changed.wait(min(left, threading.TIMEOUT_MAX))
            self._used += size

    def _add(self, size: int) -> None:
        with self._changed:
            self._used += size
            if size < 0:
                self._changed.notify_all()


class _Share:
    """What one piece of work has taken."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._taken = 0

    def take(self, size: int, until: float) -> None:
        with self._lock:
            if self._taken:
                # who has something and waits for more could wait for somebody who does the same
                self._room._add(size)
            else:
                self._room.wait_for(size, until)
            self._taken += size

    def close(self) -> None:
        self._room._add(-self._taken)


_SHARE: ContextVar[_Share | None] = ContextVar("share of the room", default=None)


def take(size: int, copies: int, until: float) -> None:
    """Wait for memory for an answer of so many bytes, of which there will be so many copies; at once for a small one.

    Outside of `Room.work` nobody counts.

    Raises:
        TimeoutError: there was none until a time (time.monotonic).
    """
    share = _SHARE.get()
    if share is not None and size > SMALL:
        share.take(size * copies, until)
