"""From whatever a console shows to a shell that has been proved to be one, and back to the login prompt."""

from __future__ import annotations

import time

from device_sdk.client.bench.console.boot_loader import BootLoader
from device_sdk.client.bench.console.conversation import Conversation
from device_sdk.client.bench.console.prompt import Prompt
from device_sdk.client.bench.console.settings import ConsoleSettings
from device_sdk.errors import LineError, LoginRefusedError
from device_sdk.protocols.console.boot_loader import REFUSED_BY_BOOT_LOADER
from device_sdk.protocols.console.prompts import Shown, says_incorrect, shown

_RETURN, _INTERRUPT = b"\r", b"\x11\x03\r"
_MOST_BYTES = 16 * 1024 * 1024
_BEFORE_PASSWORD_S = 0.3
_PROBE_S = 3.0


class Login:
    """The way in. A password that was refused is never typed again.

    Attributes:
        boot_variables: what U-Boot's variables said, where it was met on this way in; None where it was not.
    """

    def __init__(self, talk: Conversation, settings: ConsoleSettings, prompt: Prompt) -> None:
        self._talk = talk
        self._settings = settings
        self._prompt = prompt
        self._refused: LoginRefusedError | None = None
        self.boot_variables: dict[str, str] | None = None
        self._heard = 0
        self._leave_alone = False

    def enter(self) -> None:
        """Get to a shell.

        Raises:
            LineSilentError: nothing, no text, or no prompt came in time.
            LoginRefusedError: user or password is missing or was refused.
            LineError: the line.
        """
        if self._refused is not None:
            raise self._refused
        self._leave_alone = False
        began = time.monotonic()
        self.boot_variables = None
        if shown(self._talk.text) is not Shown.AUTOBOOT:  # what a countdown is, it says only at its beginning
            self._talk.begin()
            self._talk.until_quiet(0.2, began + 2, _recognised)
        received = self._talk.total
        nudge = b""
        while True:
            if self._step(shown(self._talk.text)):
                if self._talk.beginnings != self._heard:  # it was started anew on the way, and nobody set anything
                    self.boot_variables = None
                return
            talking = self._talk.total > received and not self._talk.garbage
            limit = self._settings.boot_s if talking else self._settings.silence_s
            if time.monotonic() > began + limit or self._talk.total > received + _MOST_BYTES:
                self._talk.silent("login prompt and no shell", limit)
            if not self._leave_alone:
                nudge = _RETURN if nudge != _RETURN else _INTERRUPT
                self._talk.forget()
                self._talk.type(nudge)
            self._leave_alone = False
            self._talk.until_quiet(0.5, time.monotonic() + 2, _recognised)

    def counts_down(self, seconds: float) -> bool:
        """Whether the countdown of a boot loader begins in this time; raises LineError."""
        self._talk.begin()
        end = time.monotonic() + seconds
        while shown(self._talk.text) is not Shown.AUTOBOOT and time.monotonic() < end:
            self._talk.listen(end)
        return shown(self._talk.text) is Shown.AUTOBOOT

    def leave(self) -> None:
        """Log out, and see the login prompt that the next person finds; raises LineError."""
        self._prompt.restore()
        if self._settings.user is None:
            return
        self._talk.forget()
        self._talk.type(b" exit\r")
        deadline = time.monotonic() + self._settings.answer_s
        self._talk.until_quiet(self._settings.answer_s, deadline, lambda text: shown(text) is Shown.LOGIN)

    def _step(self, kind: Shown) -> bool:
        """Do what is to be done at what is shown; whether a shell is reached."""
        if kind is Shown.LOGIN:
            return self._log_in()
        if kind in {Shown.AUTOBOOT, Shown.BOOT_PROMPT}:
            self._boot(kind)
            self._leave_alone = True  # what is typed now would be an answer to the login prompt that comes
        elif kind is Shown.PASSWORD:  # somebody's half a login
            self._talk.type(b"\x03")
        elif kind is Shown.LEFT_OVER:  # of a session that was cut
            self._talk.forget()
            self._talk.type(b"Q\n")
            self._leave_alone = True  # it cleans up behind itself; no Ctrl-C now
        elif kind is Shown.SHELL or (self._talk.text and not self._talk.garbage):
            return self._shell_or_boot_loader()
        return False

    def _shell_or_boot_loader(self) -> bool:
        """What a prompt of any kind is, told by what it does with a command; whether it is a shell."""
        if self._prompt.is_there(_PROBE_S):
            return True
        if REFUSED_BY_BOOT_LOADER.search(self._talk.text):
            self._boot(Shown.BOOT_PROMPT)
            self._leave_alone = True
        return False

    def _boot(self, kind: Shown) -> None:
        if not self._settings.boot_loader:
            if kind is Shown.BOOT_PROMPT:
                hint = "boot it, or let the profile say that boot loaders are expected"
                raise self._talk.line.failed(LineError(f"{self._talk.line.name}: a boot loader's prompt", hint=hint))
            return
        loader = BootLoader(self._talk, self._settings)
        if kind is Shown.AUTOBOOT:
            loader.interrupt()
        loader.visit()
        self.boot_variables, self._heard = loader.found, self._talk.beginnings

    def _log_in(self) -> bool:
        user = self._settings.user
        if user is None:
            raise self._refuse("asks who logs in, and the profile names no user")
        # answers to what was typed before may still come, and would look like this one's
        self._talk.until_quiet(_BEFORE_PASSWORD_S, time.monotonic() + 4 * _BEFORE_PASSWORD_S)
        self._talk.forget()
        self._talk.type(user.encode() + b"\r")
        end = time.monotonic() + self._settings.login_s
        self._talk.until_quiet(
            self._settings.login_s, end, lambda text: _asks(text.partition("\n")[2]) or says_incorrect(text)
        )
        echo, _, rest = self._talk.text.partition("\n")
        asked = shown(rest) is Shown.PASSWORD
        if asked:
            if user not in echo:  # damaged on its way: the password is not for that one
                self._talk.type(b"\x03")
                return False
            self._type_password()
        return self._logged_in(end, typed=asked)

    def _type_password(self) -> None:
        secret = self._settings.password() if self._settings.password else None
        if secret is None:
            raise self._refuse("asks for a password, and the profile has none")
        self._talk.line.hide(secret)
        # login empties its input right after it has written its question
        self._talk.until_quiet(_BEFORE_PASSWORD_S, time.monotonic() + 2 * _BEFORE_PASSWORD_S)
        self._talk.forget()
        self._talk.type(secret.reveal() + b"\r")

    def _logged_in(self, end: float, *, typed: bool) -> bool:
        while time.monotonic() < end:
            self._talk.until_quiet(1.0, end, _asks)
            kind = shown(self._talk.text)
            if kind is Shown.NEW_PASSWORD:
                raise self._refuse("wants a new password to be set first")
            if kind is Shown.LOGIN and not typed and not says_incorrect(self._talk.text):
                # the answer to what was typed before the name: nothing was refused, the name is typed again
                return False
            if says_incorrect(self._talk.text) or kind in {Shown.LOGIN, Shown.PASSWORD}:
                raise self._refuse("refused the login", "user or password of the profile; it is not tried again")
            if self._talk.text.strip() and self._prompt.is_there(_PROBE_S):
                return True
        self._talk.silent("shell after the login", self._settings.login_s)

    def _refuse(self, why: str, hint: str = "user and password of the profile") -> LoginRefusedError:
        error = LoginRefusedError(f"{self._talk.line.name}: the console {why}", hint=hint)
        self._refused = self._talk.line.failed(error)
        self._talk.type(b"\x03\r")
        return self._refused


def _asks(text: str) -> bool:
    return shown(text) in {Shown.LOGIN, Shown.PASSWORD, Shown.NEW_PASSWORD, Shown.SHELL}


def _recognised(text: str) -> bool:
    return shown(text) not in {Shown.NOTHING, Shown.SHELL}
