"""Exchanges with other servers end, whatever those send: bounded in time, in the bytes before an answer, and by `close`."""

from __future__ import annotations

import errno
import http.client
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from device_sdk_simulators.cale.hops import HopUnreachableError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

_WHOLE = 4
"""How many waits a whole exchange may take."""
_HEAD_BYTES = 256 * 1024
"""Before the content of an answer: interim answers, for HTTP sets no end to them, status line and fields."""

_END: ContextVar[float] = ContextVar("end of the work", default=math.inf)


@contextmanager
def ending(end: float) -> Iterator[None]:
    """Exchanges that this thread makes inside of it are over at that time (time.monotonic)."""
    token = _END.set(end)
    try:
        yield
    finally:
        _END.reset(token)


def end_of_work() -> float:
    """When the work of this thread is over (time.monotonic); infinity if nobody said."""
    return _END.get()


class Allowance:
    """What is left to one exchange.

    Args:
        wait_s: for every wait; four times that, or less where the work has an end of its own, for all of them.

    Attributes:
        end: when all of it is used up (time.monotonic).
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self.end = min(time.monotonic() + _WHOLE * wait_s, end_of_work())
        self._spare: float = _HEAD_BYTES

    def wait(self) -> float:
        """Seconds for the next wait; TimeoutError if all of the time is used up."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the exchange takes too long")
        return min(self._wait_s, left)

    def came(self, count: int) -> int:
        """Count bytes; HTTPException if there are too many, and no answer among them."""
        self._spare -= count
        if self._spare < 0:
            raise http.client.HTTPException("too much before the answer")
        return count

    def answer_began(self) -> None:
        """From here on the reader bounds what it takes."""
        self._spare = math.inf


class PlainSocket(socket.socket):
    """TCP within an allowance."""

    allowance: Allowance

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        """See socket.socket; TimeoutError, HTTPException."""
        self.settimeout(self.allowance.wait())
        return self.allowance.came(super().recv_into(buffer, nbytes, flags))

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """See socket.socket; TimeoutError."""
        self.settimeout(self.allowance.wait())
        super().sendall(data, flags)


class TlsSocket(ssl.SSLSocket):
    """TLS within an allowance; what an SSLContext makes whose `sslsocket_class` it is."""

    allowance: Allowance

    def getpeername(self) -> Any:
        """See socket.socket. A socket whose peer goes before the handshake is closed: CPython's `wrap_socket` leaves it open."""
        try:
            return super().getpeername()
        except OSError as error:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from error

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """See ssl.SSLSocket; TimeoutError, HTTPException."""
        self.settimeout(self.allowance.wait())
        return self.allowance.came(super().recv_into(buffer, nbytes, flags))

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """See ssl.SSLSocket, whose `sendall` calls it; TimeoutError."""
        self.settimeout(self.allowance.wait())
        return super().send(data, flags)


class Exchanges:
    """Those of one hop that are under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closed = False

    @contextmanager
    def under_way(self, sock: PlainSocket | TlsSocket, allowance: Allowance) -> Iterator[None]:
        """Use a socket for one exchange; HopUnreachableError if there are to be none any more."""
        sock.allowance = allowance
        with self._lock:
            if self._closed:
                raise HopUnreachableError("this server is being stopped")
            self._open.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(sock)

    @property
    def closed(self) -> bool:
        """Whether there are to be none any more."""
        return self._closed

    def close(self) -> None:
        """End those under way, and begin no other: whoever waits for one of them gets an error at once."""
        with self._lock:
            self._closed = True
            for sock in self._open:
                with suppress(OSError):
                    # the TCP socket's: that of TLS takes the connection away from the thread that reads from it
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
