"""Work that nobody waits for any longer than until its time is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from device_sdk_simulators.cale.exchanges import ending
from device_sdk_simulators.cale.room import Room

T = TypeVar("T")

_MOST = 256
"""Threads at most: as many as clients have connections at one time."""


class OverdueError(Exception):
    """The work was not done in time; its result is lost."""


class Workers:
    """Threads for work that can be left alone.

    Args:
        room: memory for all of it.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._pool = ThreadPoolExecutor(_MOST, thread_name_prefix="cale-edge")

    def result(self, work: Callable[[], T], until: float, end: float) -> T:
        """What the work returns or raises, or OverdueError if it has done neither at a time.

        Args:
            work: a function without arguments.
            until: that time (time.monotonic).
            end: when servers that the work asks are waited for no longer; so no work outlives the request it is for by much,
                and there are enough threads for all connections.
        """

        def bounded() -> T:
            with ending(end), self._room.work():
                return work()

        future = self._pool.submit(bounded)
        try:
            return future.result(max(0.0, until - time.monotonic()))
        except TimeoutError as error:
            if future.done():
                # the work's own
                raise
            # if no thread was free it need not begin
            future.cancel()
            raise OverdueError("no answer before the end of the slot") from error

    def close(self) -> None:
        """Wait for work that is under way: what waits for other servers is ended with the hops to them."""
        self._pool.shutdown(cancel_futures=True)
