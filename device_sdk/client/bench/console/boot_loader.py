"""At U-Boot's prompt: what it knows of the board, variables that are set, and on with the boot."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from device_sdk.client.bench.console.conversation import Conversation
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.errors import LineError
from device_sdk.protocols.console.boot_loader import (
    is_at,
    is_undefined,
    print_command,
    prompt_after,
    set_command,
    variable,
)
from device_sdk.protocols.console.prompts import Shown, shown

VARIABLES = ("ethaddr", "serial#")
_CHUNK, _PAUSE_S = 8, 0.01  # it polls its port and has no buffer but the port's own
_TRIES = 8
_ANSWER_S = 3.0


class BootLoader:
    """One visit. It is left by `boot`; nothing is saved unless the profile says so.

    Attributes:
        found: what its variables said, without those that are not set.
    """

    def __init__(self, talk: Conversation, settings: ConsoleSettings) -> None:
        self._talk = talk
        self._settings = settings
        self.found: dict[str, str] = {}
        self._prompt = ""

    def interrupt(self) -> None:
        """Stop the countdown.

        Raises:
            LineError: it went on all the same.
        """
        for _ in range(2 * _TRIES):
            self._talk.type(self._settings.boot_key)
            self._talk.until_quiet(0.25, time.monotonic() + 1, _stopped)
            if _stopped(self._talk.text):
                return
        raise self._failed("its boot loader's countdown cannot be stopped")

    def visit(self) -> None:
        """Read, set and boot; at its prompt.

        Raises:
            LineError: it does not do what it is told.
            ConfigurationError: a variable of the profile cannot be one.
        """
        chunk, pause_s = self._talk.chunk, self._talk.pause_s
        self._talk.chunk, self._talk.pause_s = _CHUNK, _PAUSE_S
        try:
            self._prompt = self._twice(self._learned)
            for name in VARIABLES:
                value = self._twice(partial(self._read, name))
                if value:
                    self.found[name] = value
            for name, value in self._settings.boot_variables.items():
                self._set(name, value)
            if self._settings.boot_variables and self._settings.save_boot_variables:
                self._save()
            self._talk.forget()
            self._talk.type(b"boot\r")
        finally:
            self._talk.chunk, self._talk.pause_s = chunk, pause_s

    def _read(self, name: str) -> str:
        return variable(self._command(print_command(name)), name) or ""

    def _twice(self, ask: Callable[[], str]) -> str:
        """What was answered twice in a row: nothing here has a checksum, and devices are told apart by it."""
        before = ask()
        for _ in range(_TRIES):
            now = ask()
            if now == before:
                return now
            before = now
        raise self._failed("its boot loader says something else each time")

    def _learned(self) -> str:
        """Its prompt, which is whatever comes after an answer that only a boot loader gives."""
        name, command = VARIABLES[0], print_command(VARIABLES[0])
        for _ in range(_TRIES):
            self._talk.forget()
            self._talk.type(command.encode() + b"\r")
            self._talk.until_quiet(_ANSWER_S, time.monotonic() + 10, lambda text: prompt_after(text, name) is not None)
            # a prompt may have one of its last characters in the middle
            self._talk.until_quiet(0.1, time.monotonic() + 1)
            prompt = prompt_after(self._talk.text, name)
            if prompt is not None:
                return prompt
            if not self._talk.text:
                break
            self._talk.type(b"\x03")
            self._talk.until_quiet(0.3, time.monotonic() + 1)
        raise self._failed("its boot loader does not answer")

    def _set(self, name: str, value: str) -> None:
        for _ in range(_TRIES):
            self._command(set_command(name, value))
            if self._is_set(name, value):
                return
        raise self._failed(f"its boot loader does not set {name}")

    def _is_set(self, name: str, value: str) -> bool:
        """Whether it says so; of one that is to be gone, in these words: a value that cannot be read is one, too."""
        said = self._command(print_command(name))
        return variable(said, name) == value.strip() if value else is_undefined(said, name)

    def _save(self) -> None:
        shown_text = self._command("saveenv", 30)
        if "OK" not in shown_text and "done" not in shown_text:
            raise self._failed("its boot loader does not save its variables")

    def _command(self, command: str, timeout_s: float = 10) -> str:
        """What a command showed, up to the next prompt. The echo shows whether it arrived whole."""
        for _ in range(_TRIES):
            self._talk.forget()
            self._talk.type(command.encode() + b"\r")
            deadline = time.monotonic() + timeout_s
            self._talk.until_quiet(timeout_s, deadline, lambda text: command in text and is_at(text, self._prompt))
            if command in self._talk.text and is_at(self._talk.text, self._prompt):
                return self._talk.text.split(command, 1)[1]
            if not self._talk.text:
                break
            self._talk.type(b"\x03")
            self._talk.until_quiet(0.3, time.monotonic() + 1)
        raise self._failed("its boot loader does not answer")

    def _failed(self, why: str) -> LineError:
        return self._talk.line.failed(LineError(f"{self._talk.line.name}: {why}", hint="see the excerpt"))


def _stopped(text: str) -> bool:
    """Whether a prompt is there, of whatever kind; keys that came too late are echoed as blanks behind it."""
    return shown(text.rstrip(" ")) in {Shown.BOOT_PROMPT, Shown.SHELL}
