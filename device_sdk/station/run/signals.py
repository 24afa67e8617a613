"""Ctrl-C as a word that is noted, where a KeyboardInterrupt in the middle of anything would leave threads and claims behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted_interrupts(stop: Callable[[], None]) -> Iterator[list[int]]:
    """In this block Ctrl-C raises nothing; the list has one number for each.

    Does nothing in other threads than the main one, and where SIGINT is ignored or handled by somebody else.

    Args:
        stop: called at each, wherever the main thread is; it may take no lock.
    """
    noted: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        noted.append(number)
        stop()

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield noted
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
