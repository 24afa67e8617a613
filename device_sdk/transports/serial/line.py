"""One open serial line."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType
from typing import NoReturn, Self, TypeVar

from device_sdk.errors import BenchError, ConfigurationError, LineError, LineSilentError
from device_sdk.model.secret import Secret
from device_sdk.transports.serial.allowance import Allowance
from device_sdk.transports.serial.channel import MAX_READ, CancelledError, Channel
from device_sdk.transports.serial.exclusive import check_lock_file, is_tty_path, reserve
from device_sdk.transports.serial.settings import LineSettings
from device_sdk.transports.serial.transcript import Transcript

_PAUSE_S, _LEAST_READ = 0.1, 1024
BenchErrorT = TypeVar("BenchErrorT", bound=BenchError)

_FLOOD = 16 * 1024  # octets: more than any answer or login has
FLOOD_HINT = (
    "does the device boot again and again, is that the console of something else, or noise of another baud rate?"
)
"""What to look at where `flood` has words."""


def flood(octets: int) -> str:
    """Words for the message of an error about a line that said nothing of use; "" if little came.

    Args:
        octets: that came meanwhile.
    """
    return f", and {octets} octets that are no answer came meanwhile" if octets > _FLOOD else ""


class Line:
    """Both drivers, console and agent, sit on this. Deadlines are of `time.monotonic()`.

    One thread reads and writes; any thread may call `excerpt` and `cancel`. Every error names the line and carries the excerpt.

    Attributes:
        name: what it was opened by.
        received: octets that have come so far.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        reservation: socket.socket | None = None,
        *,
        at_most: float | None = None,
    ) -> None:
        self.name = name
        self.received = 0
        self._channel = channel
        self._reservation = reservation
        self._allowance = Allowance(at_most, time.monotonic()) if at_most else None
        self._transcript = Transcript()
        self._closed = False
        self._turn = threading.RLock()  # a signal's handler may cancel in the thread that closes

    def read(self, deadline: float) -> bytes:
        """What has come, at least one byte and at most 64 KiB, or b"" when the deadline passes first.

        Raises:
            LineError: the far end or the device file has gone, at once; or `cancel` was called.
        """
        self._check_open()
        limit = self._limit(deadline)
        try:
            data = self._channel.read(deadline - time.monotonic(), limit)
        except OSError as exc:
            self._gone(exc)
        if self._allowance is not None:
            self._allowance.take(len(data))
        self.received += len(data)
        self._transcript.add(data)
        return data

    def _limit(self, deadline: float) -> int:
        """How much may be read now; waits where too much came before."""
        if self._allowance is None:
            return MAX_READ
        room = self._allowance.room(time.monotonic())
        if room < _LEAST_READ:
            time.sleep(max(0.0, min(_PAUSE_S, deadline - time.monotonic())))  # so short that `cancel` need not end it
            room = self._allowance.room(time.monotonic())
        return min(MAX_READ, max(1, room))

    def write(self, data: bytes, deadline: float) -> None:
        """Hand all of it to the system; on a tty that is before it is on the wire.

        Raises:
            LineSilentError: flow control, or a far end that does not read, held it up until the deadline.
            LineError: as `read`.
        """
        self._check_open()
        left = data
        while left:
            try:
                taken = self._channel.write(left, deadline - time.monotonic())
            except OSError as exc:
                self._gone(exc)
            left = left[taken:]
            if left and time.monotonic() >= deadline:
                raise self.failed(
                    LineSilentError(
                        f"{self.name} took {len(data) - len(left)} of {len(data)} bytes and no more",
                        hint="flow control? a full cable?",
                    )
                )

    def hide(self, secret: Secret) -> None:
        """Take this out of every excerpt from now on; to be called before it is typed."""
        self._transcript.hide(secret)

    def excerpt(self) -> str:
        """The end of what the line showed: printable, without secrets, at most 2,000 characters."""
        return self._transcript.excerpt()

    def failed(self, error: BenchErrorT) -> BenchErrorT:
        """This error, with the line's name and excerpt where it came without."""
        error.line = error.line or self.name
        error.excerpt = error.excerpt or self.excerpt() or None
        return error

    def cancel(self) -> None:
        """End a read or write that waits, from any thread; later ones end at once. Nothing on a line that was closed."""
        with self._turn:
            if not self._closed:  # its descriptors may be somebody else's by then
                self._channel.cancel()

    def close(self) -> None:
        """Let go of the line; what is not on the wire yet may be dropped. May be called twice."""
        with self._turn:
            closed, self._closed = self._closed, True
        if not closed:
            self._channel.close()
            if self._reservation is not None:
                self._reservation.close()

    def _check_open(self) -> None:
        if self._closed:
            raise LineError(f"{self.name} has been closed", line=self.name)

    def _gone(self, exc: OSError) -> NoReturn:
        if isinstance(exc, CancelledError):
            raise self.failed(LineError(f"{self.name}: stopped")) from None
        raise self.failed(
            LineError(f"{self.name} has gone: {exc}", hint="cable, adapter or the device's power")
        ) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def check_line(url: str) -> None:
    """See that this can be a line, without opening it; a path always can, devices come and go.

    Raises:
        ConfigurationError: that is a URL, and of no kind that lines have.
        MissingDependencyError: it is a URL, and pyserial is not installed.
    """
    if is_tty_path(url):
        return
    from device_sdk.transports.serial.port import knows

    scheme = url.partition("://")[0]
    if not knows(scheme):
        raise ConfigurationError(
            f"line {url!r}: there are no lines of the kind {scheme}://",
            hint="a line is a path, socket://HOST:PORT or rfc2217://HOST:PORT",
        )


def open_line(url: str, settings: LineSettings | None = None) -> Line:
    """Open a line for this process alone.

    Args:
        url: a device file (`/dev/ttyUSB0`, a pty, a link in `/dev/serial/by-id`) or a URL of pyserial's: `socket://host:port`,
            `rfc2217://host:port`, `loop://`.
        settings: baud rate and so on.

    Raises:
        LineInUseError: somebody else has it; says who, where that can be known.
        LineError: it cannot be opened.
        ConfigurationError: that is no URL of a line, or no setting of one.
        MissingDependencyError: pyserial is not installed.
    """
    from device_sdk.transports.serial.port import open_channel

    settings = settings or LineSettings()
    if is_tty_path(url):
        check_lock_file(url)
        return Line(url, open_channel(url, settings), at_most=settings.at_most)
    reservation = None if url.startswith("loop://") else reserve(url)
    try:
        return Line(url, open_channel(url, settings), reservation, at_most=settings.at_most)
    except BaseException:
        if reservation is not None:
            reservation.close()
        raise
