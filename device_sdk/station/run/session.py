"""An open conversation with whatever is on a line, and a limit of time for what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from device_sdk.client.bench import BenchDevice
from device_sdk.errors import BenchError, LineSilentError
from device_sdk.transports.serial.line import FLOOD_HINT, flood


@dataclass(frozen=True)
class Session:
    """A device that can be asked.

    Attributes:
        line: its line's name.
        device: what is asked.
        cancel: ends what it is being asked, and everything later, from any thread; LineError is raised there.
        release: lets go of the line.
        received: octets that have come over the line so far; of a line with an agent, since that was heard last.
    """

    line: str
    device: BenchDevice
    cancel: Callable[[], None]
    release: Callable[[], None]
    received: Callable[[], int] = lambda: 0

    @contextmanager
    def within(self, step: str, seconds: float) -> Iterator[None]:
        """A limit of time for what is asked in this block.

        Raises:
            LineSilentError: it took longer; the session is of no use any more.
            BenchError: what the device or the line says.
        """
        late, before = threading.Event(), self.received()

        def stop() -> None:
            late.set()
            self.cancel()

        timer = threading.Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BenchError as error:
            if late.is_set():
                said = flood(self.received() - before)
                raise LineSilentError(
                    f"{self.line}: {step} took longer than {seconds:g} s{said}",
                    hint=f"{FLOOD_HINT if said else 'power, cable and baud rate?'} or more time for it in the profile ([limits])",
                    line=self.line,
                    excerpt=error.excerpt,
                    timeout_s=seconds,
                ) from error
            raise
        finally:
            timer.cancel()


Opener: TypeAlias = Callable[[str, str], Session]
"""Opens a line by its name, for the run of that name. Raises BenchError."""
