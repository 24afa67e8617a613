"""Scripts and files through the program on the device, whatever the line does to single bytes."""

from __future__ import annotations

import hashlib
import re
import time

from device_sdk.client.bench.console.conversation import Conversation
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.errors import LineError, LineSilentError
from device_sdk.protocols.console.program import BLOCK, Answers, Request, read_piece
from device_sdk.protocols.console.prompts import AUTOBOOT, Shown, shown

_FIRST_SIZE, _LEAST_SIZE, _LARGEST_SIZE = 768, 64, 2048
_LARGEST_LINE = 4000  # a terminal in canonical mode takes 4095 bytes a line
_REPEATS_S = 3.0
_MOST_TRIES = 60


class ShellLostError(LineError):
    """The program does not run any more: the shell has ended, the device was reset, or somebody typed Ctrl-C."""


class Shell:
    """The program's other end. Everything is repeated until it arrived whole; nothing is done twice.

    Attributes:
        answers: what tells its answers from everything else on the terminal.
    """

    def __init__(self, talk: Conversation, answers: Answers, settings: ConsoleSettings) -> None:
        self.answers = answers
        self._talk = talk
        self._settings = settings
        self._number = 0
        self._size = _FIRST_SIZE

    def run(self, script: str, timeout_s: float | None = None) -> int:
        """Run a script, at most 2,900 bytes; its status.

        Raises:
            ShellLostError: the program has gone; it may have been done or not.
            LineSilentError: no end within the time.
            LineError: the line.
        """
        return self._send("X", script.encode(), timeout_s or self._settings.answer_s)

    def put(self, path: str, data: bytes) -> None:
        """Write a file of the device, mode 0600, and check its SHA-256 there. `path` is a shell word.

        Raises:
            LineError: as `run`; or the file that is there afterwards is not this one (a full disk).
        """
        if self.run(f"f={path};:>$f") != 0:
            raise self._failed("a file for the transfer cannot be made: is its disk full?")
        at = 0
        while at < len(data):
            piece = data[at : at + self._size]
            if self._send("U", piece, self._settings.answer_s) != 0:
                raise self._failed("a file for the transfer cannot be written: is its disk full?")
            at += len(piece)
        wanted = hashlib.sha256(data).hexdigest()[:16]
        if self.run(f'[ "$(h <$f)" = {wanted} ]') != 0:
            raise self._failed("a file arrived on the device, but its SHA-256 is another one")

    def get(self, path: str, limit: int) -> bytes:
        """Read a file of the device, whole, and check its SHA-256. `path` is a shell word.

        Raises:
            LineError: as `run`; or it is larger than `limit`, cannot be read, or changes while it is read.
        """
        size, wanted = self._measure(path)
        if size > limit:
            raise self._failed(f"an answer of {size} bytes, where {limit} are the most")
        data = b""
        while len(data) < size:
            data += self._piece(len(data) // BLOCK, size - len(data))
        if hashlib.sha256(data).hexdigest()[:16] != wanted:
            raise self._failed("a file came from the device, but its SHA-256 is another one")
        return data

    def end(self) -> None:
        """Have the program end; the shell's prompt is next."""
        self._talk.type(b"\nQ\n")

    def _measure(self, path: str) -> tuple[int, str]:
        """Size and digest of a file, told in the same way as content: as a piece of a file."""
        script = f"f={path};wc -c <$f >$t/size&&h <$f >>$t/size&&f=$t/size&&g 0 1;f={path}"
        for _ in range(_MOST_TRIES):
            block = self._shown(script, 0)
            if block is not None:
                words = block.decode("ascii", "replace").split()
                if len(words) == 2 and words[0].isdecimal() and len(words[0]) <= 12:
                    return int(words[0]), words[1]
        raise self._failed("a file on the device cannot be measured")

    def _piece(self, block: int, left: int) -> bytes:
        for _ in range(_MOST_TRIES):
            blocks = min(left + BLOCK - 1, self._size) // BLOCK
            data = self._shown(f"g {block} {blocks}", block)
            if data is not None and len(data) == min(blocks * BLOCK, left):
                return data
            if data is not None:
                raise self._failed("a file changes while it is read")
        raise self._failed("pieces of a file arrive damaged every time")

    def _shown(self, script: str, block: int) -> bytes | None:
        """What a script showed by `g`; None if that came damaged."""
        self._send("X", script.encode(), self._settings.answer_s)
        for found in self.answers.piece().finditer(self._talk.text):
            data = read_piece(found, self._number, block)
            if data is not None:
                return data
        self._shrink()
        return None

    def _send(self, kind: str, data: bytes, timeout_s: float) -> int:
        """One request until it is done; its status."""
        self._number += 1
        request = Request(kind, self._number, data)
        line = request.to_bytes()
        if len(line) > _LARGEST_LINE:
            raise ValueError("too much for one line")
        done, begun = self.answers.done(request.number), self.answers.begun(request.number)
        end = time.monotonic() + timeout_s
        taken, patience, words = False, _REPEATS_S, line
        self._talk.begin()
        for tries in range(10 * _MOST_TRIES):
            self._talk.type(words + b"\n")
            match = self._wait(done, None if taken else begun, min(end, time.monotonic() + patience))
            if match is not None and match[0] == 1:
                taken = True
                match = self._wait(done, None, min(end, time.monotonic() + patience))
            if match is not None and match[0] == 0:
                self._grow(tries)
                return int(match[1][1])
            self._check(match is not None, taken, end, timeout_s)
            if not taken and tries:
                self._shrink()
            words, patience = (request.poll(), min(30.0, 1.5 * patience)) if taken else (line, patience)
        raise self._failed("what is typed arrives damaged every time")

    def _wait(
        self, done: re.Pattern[str], begun: re.Pattern[str] | None, until: float
    ) -> tuple[int, re.Match[str]] | None:
        """0 and its end, 1 and its beginning, or 2 and that it was refused; None when nothing of that came.

        Raises:
            ShellLostError: the countdown of a boot loader came that is to be interrupted.
        """
        countdown = [AUTOBOOT] if self._settings.boot_loader else []
        found = self._talk.wait_for(done, begun or done, self.answers.refused, *countdown, deadline=until)
        if found is not None and found[0] == 3:  # now, and not when nothing came for long: it does not wait
            raise self._failed("the device is starting anew", ShellLostError)
        if found is not None and found[0] == 2:
            self._talk.text = self.answers.refused.sub("", self._talk.text)
        return found

    def _check(self, refused: bool, taken: bool, end: float, timeout_s: float) -> None:
        """What no answer means. Raises ShellLostError, LineSilentError."""
        if refused:
            return
        if shown(self._talk.text) not in {Shown.NOTHING, Shown.LEFT_OVER}:
            raise self._failed("the shell has ended in the middle", ShellLostError)
        if time.monotonic() >= end and taken:
            words = f"{self._talk.line.name}: a command did not end within {timeout_s:g} s"
            raise self._talk.line.failed(LineSilentError(words, timeout_s=timeout_s))
        if time.monotonic() >= end:
            self._talk.silent("answer to a command", timeout_s)

    def _shrink(self) -> None:
        self._size = max(_LEAST_SIZE, self._size // 2 // BLOCK * BLOCK)

    def _grow(self, tries: int) -> None:
        if not tries:
            self._size = min(_LARGEST_SIZE, self._size + BLOCK)

    def _failed(self, why: str, kind: type[LineError] = LineError) -> LineError:
        return self._talk.line.failed(kind(f"{self._talk.line.name}: {why}"))
