"""A console from its opening to its end: logged in when something is asked, again when the shell has gone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from device_sdk.client.bench.console.conversation import ConsoleLine, Conversation
from device_sdk.client.bench.console.login import Login
from device_sdk.client.bench.console.prompt import Prompt
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.client.bench.console.shell import Shell, ShellLostError
from device_sdk.errors import BenchError, LineSilentError

_STARTS = 4
_PROBES, _PROBE_S = 3, 3.0

ResultT = TypeVar("ResultT")


class Session:
    """Opens the shell when it is needed first.

    Attributes:
        talk: the conversation on the line.
        login: the way in.
        check: called with a shell that was entered before anything is done in it.
    """

    def __init__(self, line: ConsoleLine, settings: ConsoleSettings) -> None:
        self.talk = Conversation(line)
        self._prompt = Prompt(self.talk, settings)
        self.login = Login(self.talk, settings, self._prompt)
        self._settings = settings
        self._shell: Shell | None = None
        self._entered = self._checked = False
        self.check: Callable[[Shell], None] = lambda _shell: None

    def do(self, work: Callable[[Shell], ResultT]) -> ResultT:
        """Do something that may be repeated: a shell that goes away in the middle is entered anew, and all of it done again.

        Raises:
            BenchError: the line, the login, or what `work` raises.
        """
        for attempt in range(_STARTS):
            try:
                return work(self.shell())
            except ShellLostError:
                self._shell = None
                if attempt == _STARTS - 1:
                    raise
            except LineSilentError:
                # Whatever holds the shell is ended, and the program with it; what comes next begins anew.
                self._shell = None
                self._prompt.interrupt()
                raise
        raise AssertionError("unreachable")

    def shell(self) -> Shell:
        """The program's other end, after the login. Raises what `check` raises."""
        if self._shell is None:
            self._entered = self._checked = False
            self.login.enter()
            self._entered = True
            self._shell = Shell(self.talk, self._prompt.start(), self._settings)
        if not self._checked:
            self.check(self._shell)
            self._checked = True
        return self._shell

    def to_prompt(self) -> bool:
        """End the program; whether the shell's prompt is there then, the echo still off."""
        if self._shell is not None:
            self._shell.end()
            self._shell = None
        for _ in range(_PROBES):
            if self._prompt.is_there(_PROBE_S):
                return True
            self._prompt.interrupt()
        return False

    def close(self) -> None:
        """Log out. Errors are not raised: whoever closes has a result, or another error."""
        if not self._entered:
            return
        self._entered = False
        with contextlib.suppress(BenchError):
            if self.to_prompt():
                self.login.leave()
