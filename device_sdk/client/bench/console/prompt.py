"""At a shell's prompt: is it one, what can it do, and the start of the program (device_sdk.protocols.console.program)."""

from __future__ import annotations

import base64
import re
import secrets
import shlex
import time

from device_sdk.client.bench.console.conversation import Conversation
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.errors import LineSilentError
from device_sdk.protocols.console.boot_loader import REFUSED_BY_BOOT_LOADER
from device_sdk.protocols.console.program import TOOLS, Answers, decode_command, digest, hash_command, program

_PIECE, _LEAST_PIECE = 400, 64
_TRIES = 12
_QUIET = "stty -echo -ixon intr ^C quit undef susp undef eof undef"


def new_mark() -> tuple[str, str]:
    """Two halves; what is typed holds them apart, what is printed together."""
    return secrets.token_hex(4), secrets.token_hex(4)


class Prompt:
    """A shell that has been proved to be one."""

    def __init__(self, talk: Conversation, settings: ConsoleSettings) -> None:
        self._talk = talk
        self._settings = settings
        self._end = 0.0

    def is_there(self, timeout_s: float) -> bool:
        """Whether what is typed is executed: the only proof of a shell."""
        first, second = new_mark()
        self._talk.forget()
        self._talk.type(f" printf '\\n%s%s\\n' {first} {second}\r".encode())
        found = self._talk.wait_for(
            re.compile(f"{first}{second}"), REFUSED_BY_BOOT_LOADER, deadline=time.monotonic() + timeout_s
        )
        return found is not None and found[0] == 0

    def ask(self, expression: str, before: str = "") -> str | None:
        """What a shell word expands to, one line; None when that cannot be read in time."""
        first, second = new_mark()
        self._talk.forget()
        command = f" {before}printf '\\n%s%s:%s:%s%s\\n' {first} {second} {expression} {second} {first}\r"
        self._talk.type(command.encode())
        pattern = re.compile(f"{first}{second}:([^\n]*):{second}{first}")
        found = self._talk.answer(pattern, self._settings.answer_s)
        return found[1] if found else None

    def start(self) -> Answers:
        """Have the program run; it answers with the mark of what this returns.

        Raises:
            LineSilentError: it does not start, or the shell has too little to run it with.
        """
        self._end = time.monotonic() + 2 * self._settings.login_s
        # The first line makes the echo stop, and busybox's line editor with it, which wraps and cuts long lines.
        self._settled(f": ${{stty_was:=$(stty -g)}};{_QUIET};unset HISTFILE;")
        tools = self._tools()
        text, hashing, decoding = program(tools), hash_command(tools), decode_command(tools)
        if text is None or hashing is None or decoding is None:
            raise self._failed(f"its shell has too little to work with: {', '.join(sorted(tools)) or 'nothing'}")
        names = self._send(base64.b64encode(text.encode()).decode("ascii"), hashing)
        for _ in range(_TRIES):
            if answers := self._run(names, decoding):
                return answers
            self._settled("")
        raise self._failed("the program that receives commands does not start")

    def interrupt(self) -> None:
        """End what runs in the foreground, and whatever stopped the output."""
        self._talk.type(b"\x11\x03")
        self._talk.until_quiet(0.3, time.monotonic() + 2)

    def restore(self) -> None:
        """The terminal as it was before `start`."""
        self._talk.type(b' stty "$stty_was"\r')

    def _settled(self, before: str) -> None:
        for attempt in range(_TRIES):
            if self.ask("ok", before) == "ok":
                return
            if time.monotonic() > self._end:
                break
            self.interrupt()
            self._talk.type(b"\r")
            if attempt:
                self._talk.slow_down()
        raise self._failed("its shell does not answer")

    def _tools(self) -> frozenset[str]:
        words = " ".join(TOOLS)
        for _ in range(_TRIES):
            found = self.ask(f'"$(for x in {words};do command -v $x >/dev/null&&printf %s, $x;done)"')
            if found is not None and (tools := frozenset(found.split(",")) & frozenset(TOOLS)):
                return tools
            self._settled("")
        return frozenset()

    def _send(self, encoded: str, hashing: str) -> list[str]:
        """Put it into shell variables, each of which is checked; their names."""
        names: list[str] = []
        size, failures = _PIECE, 0
        while encoded:
            piece, name = encoded[:size], f"p{len(names)}"
            if self.ask(f'"$(printf %s ${name}|{hashing})"', f"{name}={piece};") == digest(piece.encode()):
                names.append(name)
                encoded = encoded[size:]
                continue
            failures += 1
            if failures > 4 * _TRIES or time.monotonic() > self._end:
                raise self._failed("what is typed arrives damaged every time")
            size = max(_LEAST_PIECE, size // 2)
            self._settled("")
        return names

    def _run(self, names: list[str], decoding: str) -> Answers | None:
        first, second = new_mark()
        answers = Answers(first + second)
        place = '"${TMPDIR:-/tmp}"' if self._settings.temporary is None else shlex.quote(self._settings.temporary)
        directory = f"{place}/device-sdk-bench.{secrets.token_hex(4)}"
        pieces = "".join(f"${name}" for name in names)
        self._talk.forget()
        self._talk.type(f' sh -c "$(printf %s {pieces}|{decoding})" sh {first} {second} {directory}\r'.encode())
        found = self._talk.wait_for(answers.done(0), deadline=time.monotonic() + self._settings.answer_s)
        if found is None:
            self.interrupt()
        return answers if found else None

    def _failed(self, why: str) -> LineSilentError:
        error = LineSilentError(
            f"{self._talk.line.name}: {why}", hint="see the excerpt", timeout_s=self._settings.answer_s
        )
        return self._talk.line.failed(error)
