"""Frames onto a line, at the pace its other end can take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from device_sdk.protocols.agent.link import Link
from device_sdk.protocols.agent.timing import PAUSE_S, PIECE

_GRACE_S = 10.0


@dataclass(frozen=True)
class Passing:
    """How time passes.

    Attributes:
        clock: seconds, as in the deadlines of a line.
        sleep: waits so many of them.
    """

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


REAL = Passing()


class Writable(Protocol):
    """The writing half of a line."""

    def write(self, data: bytes, deadline: float) -> None:
        """All of it, or LineSilentError."""


def write_frames(
    line: Writable,
    link: Link,
    now: float,
    baud: int,
    *,
    passing: Passing = REAL,
) -> None:
    """Write what the link has to say now.

    Args:
        line: where to.
        link: one end; says whether to write in pieces.
        now: the time.
        baud: of the line.
        passing: of time.

    Raises:
        LineSilentError: the line takes no more.
        LineError: it has gone.
    """
    for frame in link.outgoing(now):
        deadline = passing.clock() + _GRACE_S + 100 * len(frame) / baud
        if not link.paced:
            line.write(frame, deadline)
            continue
        for at in range(0, len(frame), PIECE):
            line.write(frame[at : at + PIECE], deadline)
            # what is on the wire, and the pause
            passing.sleep(PAUSE_S + 10 * PIECE / baud)
