"""At U-Boot's prompt: what it knows of the board, variables that are set, and on with the boot."""

from __future__ import annotations

import time

from device_sdk.client.bench.console.conversation import Conversation
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.errors import LineError
from device_sdk.protocols.console.boot_loader import print_command, set_command, variable
from device_sdk.protocols.console.prompts import Shown, shown

VARIABLES = ("ethaddr", "serial#")
_CHUNK, _PAUSE_S = 8, 0.01  # it polls its port and has no buffer but the port's own
_TRIES = 8


class BootLoader:
    """One visit. It is left by `boot`; nothing is saved unless the profile says so.

    Attributes:
        found: what its variables said, without those that are not set.
    """

    def __init__(self, talk: Conversation, settings: ConsoleSettings) -> None:
        self._talk = talk
        self._settings = settings
        self.found: dict[str, str] = {}

    def interrupt(self) -> None:
        """Stop the countdown.

        Raises:
            LineError: it went on all the same.
        """
        for _ in range(2 * _TRIES):
            self._talk.type(self._settings.boot_key)
            self._talk.until_quiet(0.25, time.monotonic() + 1, _at_prompt)
            if _at_prompt(self._talk.text):
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
            for name in VARIABLES:
                value = variable(self._command(print_command(name)), name)
                if value is not None:
                    self.found[name] = value
            for name, value in self._settings.boot_variables.items():
                self._set(name, value)
            if self._settings.boot_variables and self._settings.save_boot_variables:
                self._save()
            self._talk.forget()
            self._talk.type(b"boot\r")
        finally:
            self._talk.chunk, self._talk.pause_s = chunk, pause_s

    def _set(self, name: str, value: str) -> None:
        for _ in range(_TRIES):
            self._command(set_command(name, value))
            if (variable(self._command(print_command(name)), name) or "") == value.strip():
                return
        raise self._failed(f"its boot loader does not set {name}")

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
            self._talk.until_quiet(timeout_s, deadline, lambda text: command in text and _at_prompt(text))
            if command in self._talk.text and _at_prompt(self._talk.text):
                return self._talk.text.split(command, 1)[1]
            if not self._talk.text:
                break
            self._talk.type(b"\x03")
            self._talk.until_quiet(0.3, time.monotonic() + 1)
        raise self._failed("its boot loader does not answer")

    def _failed(self, why: str) -> LineError:
        return self._talk.line.failed(LineError(f"{self._talk.line.name}: {why}", hint="see the excerpt"))


def _at_prompt(text: str) -> bool:
    return shown(text) is Shown.BOOT_PROMPT
