"""A failure ends when its slot does, so that its time says nothing of how far a decryption got (CALE-10).

What looks at a plaintext takes longer the more of it is sound, and that cannot be had otherwise. Nobody waits for a success.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from device_sdk.errors import EnvelopeError, NotForUsError

FIRST_S = 0.005
OCTET_S = 200e-9
STEP = 4
LONGEST_S = 20.48
_MARGIN = 2
_LATE_ONES = 3


class FailureSlots:
    """How long failures take: 5 ms and 200 ns an octet, or 4, 16, 64 ... times that, as soon as any message needed half of it.

    There is one ladder for messages of all sizes, and it only goes up: each step shows itself in the failure that causes it,
    and a process has six at most. What counts is the processor's time of the longest, which other programs do not change,
    and that several waited long, for a token or TPM. Use one for all messages of a process.
    """

    def __init__(self) -> None:
        self._times = 1
        self._late = 0
        self._lock = Lock()

    @contextmanager
    def one(self, size: int) -> Iterator[None]:
        """Open a message of this many octets within; a failure leaves at the end of its slot.

        One that took longer than that, as the machine was busy, leaves at the end of the next that is twice as long; above
        20 seconds at once.
        """
        began, busy = time.monotonic(), time.thread_time()
        try:
            yield
        except (NotForUsError, EnvelopeError):
            slot = self._grown(size, began, busy, opened=False)
            took = time.monotonic() - began
            while slot < took and slot < LONGEST_S:
                slot *= 2
            time.sleep(max(0.0, slot - took))
            raise
        self._grown(size, began, busy, opened=True)

    def _grown(self, size: int, began: float, busy: float, *, opened: bool) -> float:
        took, busy, first = time.monotonic() - began, time.thread_time() - busy, FIRST_S + size * OCTET_S
        with self._lock:
            if _MARGIN * took > first * self._times:
                self._late += 1
            elif opened:  # a failure may have been one in the open, which waited for nothing
                self._late = 0
            needed = _MARGIN * (took if self._late >= _LATE_ONES else busy)
            while first * self._times < min(needed, LONGEST_S):
                self._times *= STEP
                self._late = 0
            return min(first * self._times, LONGEST_S)


FAILURE_SLOTS = FailureSlots()
"""This process's."""
