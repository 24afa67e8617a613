"""Sockets that keep to a deadline, however slowly the other end drips its bytes."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from device_sdk.errors import TransportTimeoutError

if TYPE_CHECKING:
    _Base = socket.socket
else:
    _Base = object


_AT_ONCE_S = 0.005


class Deadline:
    """The end of one exchange.

    Args:
        total_s: seconds from now.
        words: what is said when it has come.
    """

    def __init__(self, total_s: float, words: str = "the exchange took longer than {:g} s altogether") -> None:
        self._total_s, self._words = total_s, words
        self._end = time.monotonic() + total_s

    def part(self, seconds: float, words: str) -> Deadline:
        """A deadline for the first part of the exchange: this one, or so many seconds from now if that is earlier."""
        part = Deadline(seconds, words)
        return part if part._end < self._end else self

    def limit(self, seconds: float) -> float:
        """At most so many seconds, and not beyond the end.

        Raises:
            TransportTimeoutError: the end has come.
        """
        remaining = self._end - time.monotonic()
        if remaining < _AT_ONCE_S:
            self.expire()
        return min(seconds, remaining)

    def earn(self, size: int) -> None:
        """So many bytes came; this deadline does not mind."""

    def expire(self) -> NoReturn:
        """Raise the error of this deadline."""
        raise TransportTimeoutError(self._words.format(self._total_s), timeout_s=self._total_s)


class PacedDeadline(Deadline):
    """The end of an exchange that may be long if it gets on: every byte that comes puts it off.

    Args:
        first_s: seconds from now, if nothing comes.
        rate: bytes a second: that is how many put the end off by one.
        total_s: seconds from now beyond which nothing puts it off.
    """

    def __init__(self, first_s: float, rate: float, total_s: float) -> None:
        super().__init__(first_s, f"the answer came at less than {rate:g} bytes a second, {{:g}} s at first left aside")
        self._rate, self._last = rate, self._end - first_s + max(first_s, total_s)

    def earn(self, size: int) -> None:
        """See Deadline."""
        self._end = min(self._end + size / self._rate, self._last)


class Timed(_Base):
    """Mixed into a socket class: every read and write is armed with what is left of the time.

    Attributes:
        received_bytes: what was read since `start()`.
    """

    received_bytes = 0
    _deadline: Deadline | None = None
    _wait_s = 0.0

    def start(self, deadline: Deadline, wait_s: float) -> None:
        """From now on wait at most `wait_s` for each read or write, and never beyond the deadline."""
        self._deadline, self._wait_s, self.received_bytes = deadline, wait_s, 0
        self._arm()

    @property
    def deadline(self) -> Deadline | None:
        """The one that was set last."""
        return self._deadline

    def arm(self) -> None:
        """Give the next operation what is left of the time."""
        self._arm()

    def _arm(self) -> None:
        if self._deadline is not None:
            self.settimeout(self._deadline.limit(self._wait_s))

    @contextmanager
    def _armed(self) -> Iterator[None]:
        self._arm()
        try:
            yield
        except TimeoutError:
            self._arm()  # which limit was it? This one raises if all time is over.
            raise

    def recv_into(self, *args: Any, **options: Any) -> int:
        """As in the socket module."""
        with self._armed():
            count = super().recv_into(*args, **options)
        self.received_bytes += count
        if self._deadline is not None:
            self._deadline.earn(count)
        return count

    def send(self, *args: Any, **options: Any) -> int:
        """As in the socket module."""
        with self._armed():
            return super().send(*args, **options)


class TimedSocket(Timed, socket.socket):
    """A plain socket with a deadline, for what is said to a proxy."""


class TimedTlsSocket(Timed, ssl.SSLSocket):
    """A TLS socket with a deadline.

    Only with `start()` does it insist on a close_notify; for everybody else it is CPython's socket, that leaves nothing open.
    """

    def getpeername(self) -> Any:
        """As in the socket module; of a peer that has gone ConnectionResetError, and the socket is closed.

        That is how it begins: where the peer went after TCP's handshake, CPython's `wrap_socket` raises, and leaves a socket
        open that its caller never saw.
        """
        try:
            return super().getpeername()
        except OSError as exc:
            self.close()
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from exc

    def start(self, deadline: Deadline, wait_s: float) -> None:
        """See Timed."""
        self.suppress_ragged_eofs = False
        super().start(deadline, wait_s)

    def is_quiet(self) -> bool:
        """Whether the idle connection is still there with nothing to say; reads session tickets that came late."""
        self.settimeout(0.0)
        try:
            self.read(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        return False

    def say_goodbye(self) -> None:
        """Send a close_notify, without waiting for anything."""
        try:
            self.settimeout(0.0)
            self.unwrap()
        except (OSError, ValueError):
            return
