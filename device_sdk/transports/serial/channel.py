"""Reading and writing an open port with a limit of time."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
from abc import ABC, abstractmethod
from typing import Any

from device_sdk.transports.serial.exclusive import set_exclusive

MAX_READ = 64 * 1024
_SLICE_S = 0.25
_DRAIN_S = 1.0
_WRITE_AT_ONCE = 512


class GoneError(OSError):
    """The far end has gone, or the device was pulled out."""


class CancelledError(OSError):
    """Somebody called `cancel`."""


class Channel(ABC):
    """An open port of pyserial's. One thread reads and writes at a time; any thread may cancel."""

    @abstractmethod
    def read(self, timeout_s: float, limit: int = MAX_READ) -> bytes:
        """What is there, at most `limit` octets; b"" when nothing came in time. Raises OSError."""

    @abstractmethod
    def write(self, data: bytes, timeout_s: float) -> int:
        """How much of it was taken; 0 when nothing could be in time. Raises OSError."""

    @abstractmethod
    def cancel(self) -> None:
        """End a read or write that waits, and every later one, with CancelledError."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the port. What is not on the wire within a second is dropped: flow control may hold it for good."""


class DescriptorChannel(Channel):
    """A tty or a socket, read by its descriptor.

    pyserial's own read takes `select`, which fails for descriptors above 1023, and reads a socket byte by byte where it is asked
    how much there is.
    """

    def __init__(self, port: Any) -> None:
        self._port = port
        self._descriptor: int = port.fileno()
        self._wake_read, self._wake_write = os.pipe()
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self._empty_reads = 0
        set_exclusive(self._descriptor, on=True)

    def read(self, timeout_s: float, limit: int = MAX_READ) -> bytes:
        """See Channel."""
        while True:
            if not self._wait(select.POLLIN, timeout_s):
                return b""
            try:
                data = os.read(self._descriptor, limit)
            except BlockingIOError:
                return b""
            if data:
                self._empty_reads = 0
                return data
            # A tty that another process reads as well can be empty by now; one that is gone stays so.
            self._empty_reads += 1
            if self._empty_reads > 3:
                raise GoneError("end of file")

    def write(self, data: bytes, timeout_s: float) -> int:
        """See Channel."""
        if not self._wait(select.POLLOUT, timeout_s):
            return 0
        try:
            return os.write(self._descriptor, data[:_WRITE_AT_ONCE])
        except BlockingIOError:
            return 0

    def _wait(self, event: int, timeout_s: float) -> bool:
        self._poll.register(self._descriptor, event)
        happened = dict(self._poll.poll(max(0, timeout_s) * 1000))
        if self._wake_read in happened:
            raise CancelledError("cancelled")
        if event == select.POLLOUT and happened.get(self._descriptor, 0) & (select.POLLHUP | select.POLLERR):
            raise GoneError("hung up")
        return bool(happened)

    def cancel(self) -> None:
        """See Channel."""
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """See Channel."""
        set_exclusive(self._descriptor, on=False)
        with contextlib.suppress(OSError, AttributeError, termios.error):
            self._drain()
        _close(self._port)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _drain(self) -> None:
        end = time.monotonic() + _DRAIN_S
        while self._port.out_waiting:
            if time.monotonic() > end:
                self._port.reset_output_buffer()
            time.sleep(0.01)


class PortChannel(Channel):
    """A port without a descriptor (`rfc2217://`, `loop://`): pyserial's own calls, in slices so that it can be cancelled."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self._cancelled = threading.Event()

    def read(self, timeout_s: float, limit: int = MAX_READ) -> bytes:
        """See Channel."""
        while True:
            self._check()
            self._port.timeout = max(0.0, min(timeout_s, _SLICE_S))
            first = self._port.read(1)
            if first:
                return bytes(first + self._port.read(min(self._port.in_waiting, limit - 1)))
            timeout_s -= _SLICE_S
            if timeout_s <= 0:
                return b""

    def write(self, data: bytes, timeout_s: float) -> int:
        """See Channel."""
        self._check()
        return int(self._port.write(data[:_WRITE_AT_ONCE]) or 0)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError("cancelled")

    def cancel(self) -> None:
        """See Channel."""
        self._cancelled.set()

    def close(self) -> None:
        """See Channel."""
        _close(self._port)


def _close(port: Any) -> None:
    # pyserial forgets a socket whose far end has gone, and does not close it
    connection = getattr(port, "_socket", None)
    with contextlib.suppress(OSError):
        port.close()
    if connection is not None:
        connection.close()
