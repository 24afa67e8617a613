"""Typing on a line, and waiting for what it shows."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import NoReturn, Protocol, TypeVar

from device_sdk.errors import BenchError, LineSilentError
from device_sdk.model.secret import Secret
from device_sdk.protocols.console.boot_loader import BEGINNING
from device_sdk.protocols.console.prompts import is_garbage
from device_sdk.protocols.console.terminal import TerminalText

MAX_TEXT = 32 * 1024
_WRITE_S = 10.0
_SHORT_S = 3.0
_LONGEST = 64  # longer than what is listened for

BenchErrorT = TypeVar("BenchErrorT", bound=BenchError)


class ConsoleLine(Protocol):
    """What a console needs of a line (device_sdk.transports.serial.Line)."""

    name: str

    def read(self, deadline: float) -> bytes:
        """What has come; b"" when the deadline passes."""

    def write(self, data: bytes, deadline: float) -> None:
        """Send all of it."""

    def hide(self, secret: Secret) -> None:
        """Keep it out of excerpts."""

    def excerpt(self) -> str:
        """The end of what it showed."""

    def failed(self, error: BenchErrorT) -> BenchErrorT:
        """This error, with the line's name and excerpt."""


class Conversation:
    """Keeps the end of what was shown since the last `forget`, as text, and writes no faster than it is told to.

    Attributes:
        line: the line.
        chunk: bytes that are written at once.
        pause_s: how long to wait between two of those.
        text: the end of what was shown since `forget`, at most 32 KiB.
        total: bytes that have come in all.
        beginnings: how often a boot loader was heard to begin.
    """

    def __init__(self, line: ConsoleLine, chunk: int = 256, pause_s: float = 0.0) -> None:
        self.line = line
        self.chunk = chunk
        self.pause_s = pause_s
        self.text = ""
        self._raw = b""
        self._bytes = 0
        self.total = 0
        self.beginnings = 0
        self._before = ""
        self._terminal = TerminalText()

    def type(self, data: bytes) -> None:
        """Write in chunks; raises LineError."""
        deadline = time.monotonic() + _WRITE_S + len(data) * self.pause_s
        for at in range(0, len(data), self.chunk):
            self.line.write(data[at : at + self.chunk], deadline)
            if self.pause_s and at + self.chunk < len(data):
                time.sleep(self.pause_s)

    def slow_down(self) -> None:
        """Write in smaller chunks with longer pauses: what was written did not arrive whole."""
        self.chunk, self.pause_s = max(16, self.chunk // 2), min(0.02, self.pause_s + 0.005)

    def begin(self) -> None:
        """Forget all, also for what `silent` says."""
        self.text, self._raw, self._bytes = "", b"", 0

    def forget(self) -> None:
        """What was shown so far is no answer to what is typed next."""
        self.text = ""

    def listen(self, deadline: float) -> bool:
        """Take what comes next; False when nothing came."""
        data = self.line.read(deadline)
        self._bytes += len(data)
        self.total += len(data)
        self._raw = (self._raw + data)[-1024:]
        self.text = (self.text + self._heard(self._terminal.feed(data)))[-MAX_TEXT:]
        return bool(data)

    def _heard(self, text: str) -> str:
        """The same text, listened to whatever anybody forgets."""
        both = self._before + text
        self.beginnings += sum(found.end() > len(self._before) for found in BEGINNING.finditer(both))
        self._before = both[-_LONGEST:]
        return text

    @property
    def garbage(self) -> bool:
        """Whether what came is no text."""
        return is_garbage(self._raw)

    def until_quiet(self, quiet_s: float, deadline: float, enough: Callable[[str], bool] = lambda _: False) -> None:
        """Listen until nothing has come for so long, it is enough, or the deadline."""
        while time.monotonic() < deadline and not enough(self.text):
            if not self.listen(min(deadline, time.monotonic() + quiet_s)):
                return

    def wait_for(self, *patterns: re.Pattern[str], deadline: float) -> tuple[int, re.Match[str]] | None:
        """The first of the patterns that fits, and its match; None when the deadline passes first."""
        while True:
            for number, pattern in enumerate(patterns):
                if found := pattern.search(self.text):
                    return number, found
            if time.monotonic() >= deadline:
                return None
            self.listen(deadline)

    def answer(self, pattern: re.Pattern[str], timeout_s: float) -> re.Match[str] | None:
        """What fits, None after a short while in which only other things came; raises LineSilentError when nothing came."""
        before, now = self.total, time.monotonic()
        found = self.wait_for(pattern, deadline=now + min(_SHORT_S, timeout_s))
        if found is None and self.total == before:
            found = self.wait_for(pattern, deadline=now + timeout_s)
            if found is None and self.total == before:
                self.begin()
                self.silent("answer", timeout_s)
        return found[1] if found else None

    def silent(self, what: str, timeout_s: float) -> NoReturn:
        """Raise the LineSilentError that says best what is wrong with the line."""
        if not self._bytes:
            reason, hint = "nothing came", "power, cable, baud rate; is there a getty on this port?"
        elif self.garbage:
            reason, hint = "what comes is no text", "wrong baud rate?"
        elif self._bytes > 4 * MAX_TEXT:
            reason, hint = f"the device does not stop talking ({self._bytes} bytes)", "what floods its console?"
        else:
            reason, hint = "what came is something else", "see the excerpt"
        error = LineSilentError(
            f"{self.line.name}: no {what} within {timeout_s:g} s: {reason}", hint=hint, timeout_s=timeout_s
        )
        raise self.line.failed(error)
