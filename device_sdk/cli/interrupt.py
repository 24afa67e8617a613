"""Ctrl-C that is never lost: Python alone notices it late, or not at all, in two places.

- Between Python's last look for signals and a system call that waits there is a moment in which a signal is only noted:
  it then counts after the wait, which for a silent server is half a minute.
- What is raised in a destructor, in the callback of a weak reference (each import has one) or in one that C code calls is
  printed and forgotten, KeyboardInterrupt as well.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from functools import partial

_AGAIN = 0xFF  # no signal has this number
_SOON_S = 0.05
_NUDGES = 6
_NUDGE = signal.SIGURG  # ignored by every program that does not ask for it


def never_lose() -> None:
    """From now on an interrupt ends what the main thread waits for, and is raised again where it was forgotten.

    For programs that own their process. Does nothing where SIGINT is ignored or handled by somebody else.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(_NUDGE, _nothing)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    sys.unraisablehook = partial(_forgotten, writer)
    _thread.start_new_thread(_watch, (reader, threading.get_ident()))


def _nothing(*_: object) -> None:
    """A signal with this handler ends a wait; Python then runs all handlers that are due, and waits on."""


def _watch(reader: int, main_thread: int) -> None:
    """Read the signals as they come, in a thread of its own, which no signal interrupts."""
    while number := os.read(reader, 1):
        if number[0] == _AGAIN:
            time.sleep(_SOON_S)  # until the callback is over
            signal.pthread_kill(main_thread, signal.SIGINT)
        elif number[0] == signal.SIGINT:
            for _ in range(_NUDGES):
                time.sleep(_SOON_S)
                signal.pthread_kill(main_thread, _NUDGE)


def _forgotten(writer: int, what: sys.UnraisableHookArgs) -> None:
    if issubclass(what.exc_type, KeyboardInterrupt):
        os.write(writer, bytes([_AGAIN]))
    else:
        sys.__unraisablehook__(what)
