"""Frames onto a line, at the pace its other end can take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from device_sdk.protocols.agent.link import Link
from device_sdk.protocols.agent.timing import PAUSE_S, PIECE

_GRACE_S = 10.0


class Writable(Protocol):
    """The writing half of a line."""

    def write(self, data: bytes, deadline: float) -> None:
        """All of it, or LineSilentError."""


def write_frames(
    line: Writable, link: Link, now: float, baud: int, *, clock: Callable[[], float] = time.monotonic
) -> None:
    """Write what the link has to say now.

    Args:
        line: where to.
        link: one end; says whether to write in pieces.
        now: the time, of `clock`.
        baud: of the line.
        clock: that of the line's deadlines.

    Raises:
        LineSilentError: the line takes no more.
        LineError: it has gone.
    """
    for frame in link.outgoing(now):
        deadline = clock() + _GRACE_S + 100 * len(frame) / baud
        if not link.paced:
            line.write(frame, deadline)
            continue
        for at in range(0, len(frame), PIECE):
            line.write(frame[at : at + PIECE], deadline)
            # what is on the wire, and the pause
            time.sleep(PAUSE_S + 10 * PIECE / baud)
