"""Ctrl-C that is never lost: Python alone notices it late, or not at all, in two places.

- Between Python's last look for signals and a system call that waits there is a moment in which a signal is only noted:
  it then counts after the wait, which for a silent server is half a minute.
- What is raised in a destructor, in the callback of a weak reference (each import has one) or at the beginning of one that
  C code calls is printed and forgotten, KeyboardInterrupt as well.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from types import SimpleNamespace

_AGAIN = 0xFF  # no signal has this number
_SOON_S = 0.05
_NUDGES = 6
_NUDGE = signal.SIGURG  # ignored by every program that does not ask for it
_command = SimpleNamespace(over=False)


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


def arrived() -> None:
    """The interrupt has ended the command: it is not raised another time, and one more ends the process as it is."""
    _command.over = True
    for _ in range(2):  # the first may raise one that has just come
        with suppress(KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _nothing(*_: object) -> None:
    """A signal with this handler ends a wait; Python then runs all handlers that are due, and waits on."""


def _watch(reader: int, main_thread: int) -> None:
    """Read the signals as they come, in a thread of its own, which no signal interrupts."""
    while number := os.read(reader, 1):
        again = number[0] == _AGAIN
        if not again and number[0] != signal.SIGINT:
            continue
        for _ in range(1 if again else _NUDGES):
            time.sleep(_SOON_S)  # until a callback is over
            if _command.over:
                return
            signal.pthread_kill(main_thread, signal.SIGINT if again else _NUDGE)


def _forgotten(writer: int, what: sys.UnraisableHookArgs) -> None:
    if not issubclass(what.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(what)
        return
    # in a callback of OpenSSL's it would come out as a failure of TLS, sooner than it can be raised again
    failures = sys.modules.get("device_sdk.transports.openssl_provider.failures")
    if failures is not None:
        failures.remember(KeyboardInterrupt())
    os.write(writer, bytes([_AGAIN]))
