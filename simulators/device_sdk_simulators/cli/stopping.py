"""SIGTERM, SIGINT and SIGHUP: a start is completed first, serving ends at once, an end is not disturbed."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stop:
    """What the process does when it is told to stop.

    An exception in the middle of a start could leave half a CA, or a TPM that nobody ends; so the first signal is kept
    until `ready`, unless a second one says that it is urgent. From then on a signal ends the process by SystemExit,
    through the context managers; while these do their work further ones are ignored.
    """

    def __init__(self) -> None:
        self._state = "starting"
        for number in _SIGNALS:
            # nohup and shells in the background have reasons to ignore some
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._told)

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        if self._state == "starting":
            self._state = "told"
        elif self._state in ("told", "serving"):
            self._end()

    def _end(self) -> None:
        self._state = "ending"
        sys.exit(0)

    def ready(self) -> None:
        """The start is complete; SystemExit if it was told to stop meanwhile."""
        if self._state == "told":
            self._end()
        self._state = "serving"

    def wait(self) -> None:
        """Serve until told to stop; ends by SystemExit."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # a signal just before the read would be slept through otherwise
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        self.ready()
        while True:
            os.read(reader, 16)
