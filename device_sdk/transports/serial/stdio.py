"""Standard input and output as a line: a terminal in raw mode, or pipes."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from typing import Any

from device_sdk.errors import LineError
from device_sdk.transports.serial.channel import MAX_READ, CancelledError, Channel, GoneError
from device_sdk.transports.serial.line import Line

# a terminal that says it can be written to has room for less than a page: more might wait for ever
_WRITE_AT_ONCE = 64


def open_stdio(baud: int | None = None, descriptors: tuple[int, int] = (0, 1)) -> Line:
    """The terminal this process was started in, until it is closed; pyserial is not needed.

    A terminal is set to raw mode, and back when the line is closed.

    Args:
        baud: the terminal's, None to leave it as it is.
        descriptors: what is read and what is written.

    Raises:
        LineError: there is none, or it cannot be set so.
    """
    return Line("stdio", StdioChannel(baud, *descriptors))


class StdioChannel(Channel):
    """Two descriptors, mostly of one terminal. They are shared with the shell, and so stay blocking."""

    def __init__(self, baud: int | None, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._saved = _make_raw(source, baud)
        self._wake_read, self._wake_write = os.pipe()

    def read(self, timeout_s: float, limit: int = MAX_READ) -> bytes:
        """See Channel."""
        if not self._wait(self._source, select.POLLIN, timeout_s):
            return b""
        data = os.read(self._source, limit)
        if not data:
            raise GoneError("end of file")
        return data

    def write(self, data: bytes, timeout_s: float) -> int:
        """See Channel."""
        if not self._wait(self._sink, select.POLLOUT, timeout_s):
            return 0
        return os.write(self._sink, data[:_WRITE_AT_ONCE])

    def _wait(self, descriptor: int, event: int, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(descriptor, event)
        poll.register(self._wake_read, select.POLLIN)
        happened = dict(poll.poll(max(0, timeout_s) * 1000))
        if self._wake_read in happened:
            raise CancelledError("cancelled")
        return bool(happened)

    def cancel(self) -> None:
        """See Channel."""
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """See Channel; the terminal is as it was found."""
        if self._saved is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(self._source, termios.TCSADRAIN, self._saved)
        os.close(self._wake_read)
        os.close(self._wake_write)


def _make_raw(descriptor: int, baud: int | None) -> list[Any] | None:
    """The settings before; None if it is no terminal."""
    if not os.isatty(descriptor):
        return None
    speed = getattr(termios, f"B{baud}", None) if baud else None
    if baud and speed is None:
        raise LineError(f"stdio: {baud} is no speed of a terminal", line="stdio")
    try:
        saved = termios.tcgetattr(descriptor)
        tty.setraw(descriptor, termios.TCSADRAIN)
        if speed is not None:
            settings = termios.tcgetattr(descriptor)
            settings[4] = settings[5] = speed
            termios.tcsetattr(descriptor, termios.TCSADRAIN, settings)
    except termios.error as exc:
        raise LineError(f"stdio: {sys.exc_info()[1]}: the terminal cannot be set", line="stdio") from exc
    return saved
