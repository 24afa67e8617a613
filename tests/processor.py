"""Processor time as a limit that means the same on every machine, and on one that others use, too."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# What `_known_work` takes where nothing else runs; twice that where another worker has the other half of the core.
_USUAL_S = 0.0055


def require_at_most(limit_s: float, work: Callable[[], T]) -> T:
    """The answer of `work`, which costs this thread so many seconds of a usual machine at most, in one of three tries.

    What grows with the square of its input, or without end, is over it each time; a machine that was slow for a moment is not.
    """
    answer, spent = _timed(work)
    took = [spent]
    while took[-1] > limit_s and len(took) < 3:
        before = _slowness()
        answer, spent = _timed(work)
        took.append(spent / max(before, _slowness()))
    assert took[-1] <= limit_s, f"{took} s, more than {limit_s} s"
    return answer


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    begun = time.thread_time()
    return work(), time.thread_time() - begun


def _slowness() -> float:
    """How many times longer than usual this machine takes just now; never less than 1."""
    return max(1.0, _timed(_known_work)[1] / _USUAL_S)


def _known_work() -> None:
    """As the SDK works: objects of Python, and a library that computes."""
    data = b""
    for number in range(12_000):
        data = number.to_bytes(4, "big") + data[:12]
        if number % 3 == 0:
            hashlib.sha256(data).digest()
