"""One login on one token for the whole process, and the sessions its threads work in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from device_sdk.errors import KeyStoreBusyError, TokenNotFoundError, TokenRemovedError
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError, calling
from device_sdk.keystores.pkcs11.cryptoki import Cryptoki, TokenStatus
from device_sdk.keystores.pkcs11.login import PinOnce, log_in
from device_sdk.keystores.pkcs11.modules import Module
from device_sdk.keystores.pkcs11.tokens import Found, TokenName, find_patiently

T = TypeVar("T")

SESSION_TIMEOUT_S = 30.0
TRANSIENT_S = 5.0
_PAUSE_S = 0.05
_MAX_IDLE = 32
_MAX_USES = 256

# What SoftHSM answers at a login while another process is rewriting the token's file; nothing is said about the PIN.
_TRANSIENT = frozenset({codes.GENERAL_ERROR, codes.USER_PIN_NOT_INITIALIZED, codes.FUNCTION_FAILED})


@dataclass(eq=False)
class Login:
    """The state of being connected; replaced as a whole when it is lost.

    Attributes:
        generation: the module's, when it was made.
        found: the token in its slot.
        anchor: a session that is never worked in: a token forgets the login with its last session.
        logged_in: whether private objects can be seen.
    """

    generation: int
    found: Found
    anchor: Any
    logged_in: bool = False


@dataclass(eq=False)
class Worker:
    """A session that one thread has for itself, for one operation.

    Attributes:
        session: python-pkcs11's session.
        cryptoki: the module, for what goes by handles.
        found: the token.
        keys: python-pkcs11's key objects found in this session before, by what they were looked for with.
        spoiled: an operation failed in it; it is closed afterwards even if the failure was expected.
        uses: operations begun in it. After _MAX_USES it is closed, for modules whose sessions suffer from a bad ciphertext;
            by count, so that the time of an operation does not tell how the one before ended.
    """

    session: Any
    cryptoki: Cryptoki
    login: Login
    writable: bool
    keys: dict[object, Any] = field(default_factory=dict)
    spoiled: bool = False
    uses: int = 0

    @property
    def handle(self) -> int:
        """The session's CK_SESSION_HANDLE."""
        return int(self.session.handle)


class Connection:
    """A token that is in use; shared by all stores and keys of the process.

    Args:
        module: the module that reaches it.
        name: the token, however it is plugged in.
    """

    def __init__(self, module: Module, name: TokenName) -> None:
        self.module = module
        self.name = name
        self.users = 0
        self._reset()

    def _reset(self) -> None:
        self._opening = threading.RLock()
        self._pool = threading.Condition()
        self._idle: list[Worker] = []
        self._busy = 0
        self._login: Login | None = None
        self._owns_login = False

    def forget_parent(self) -> None:
        """In a child process: start over; sessions of the parent are not ours to close."""
        self._reset()

    def run(self, pins: PinOnce, operation: Callable[[Worker], T], *, login: bool = True, writable: bool = False) -> T:
        """Run an operation in a session of its own; once more, from the start, when session or token were lost.

        Args:
            pins: gives the PIN if a login is needed.
            operation: has to be repeatable; a session in which it fails is closed.
            login: whether private objects are needed.
            writable: whether token objects are made or destroyed.

        Raises:
            CkError: what the module answered, the second time if the first was a loss.
            TokenRemovedError: the token did not come back.
            KeyStoreError: the PIN, or no session free.
        """
        state = self._login
        try:
            state = self._ready(pins, login)
            with self._borrowed(state, writable) as worker:
                return operation(worker)
        except CkError as error:
            if error.code not in codes.SESSION_LOST | codes.TOKEN_LOST:
                raise
            self._lost(state, error)
        state = self._ready(pins, login)
        with self._borrowed(state, writable) as worker:
            return operation(worker)

    def status(self, pins: PinOnce) -> TokenStatus:
        """The token's flags and session counts now."""
        return self.run(pins, lambda w: w.cryptoki.token_status(w.login.found.slot_id), login=False)

    def close(self) -> None:
        """Close all idle sessions and log out if the login was ours."""
        with self._opening:
            self._drop(log_out=True)

    # -- being connected

    def _ready(self, pins: PinOnce, login: bool) -> Login:
        state = self._login
        if state is not None and state.generation == self.module.generation and (state.logged_in or not login):
            return state
        with self._opening:
            deadline = time.monotonic() + TRANSIENT_S
            while True:
                self.module.ready()
                state = self._login
                try:
                    if state is None or state.generation != self.module.generation:
                        state = self._connect(pins)
                    if login and not state.logged_in:
                        self._log_in(state, pins)
                    return state
                except CkError as error:
                    if error.code not in _TRANSIENT or time.monotonic() > deadline:
                        raise
                    # SoftHSM looks at its files again only when it is initialised.
                    generation = self.module.generation
                    self._drop(log_out=False)
                    time.sleep(_PAUSE_S)
                    self.module.restart(generation)

    def _connect(self, pins: PinOnce) -> Login:
        self._forget_sessions()
        try:
            found = find_patiently(self.module, self.name.uri(), lambda: True)
        except TokenNotFoundError as error:
            raise TokenRemovedError(
                f"{pins.uri}: the token {self.name.label} went away and did not come back: {error.message}",
                hint="plug it in again; the next operation opens it anew",
                uri=str(pins.uri),
            ) from error
        generation = self.module.generation
        with self.module.gate.shared(), calling("C_OpenSession"):
            anchor = found.token.open()
        self._login = Login(generation, found, anchor)
        return self._login

    def _log_in(self, state: Login, pins: PinOnce) -> None:
        with self.module.gate.shared():
            ours = log_in(self.module.cryptoki, state.anchor.handle, state.found.slot_id, self.name, pins)
        self._owns_login = self._owns_login or ours
        state.logged_in = True

    def _lost(self, state: Login | None, error: CkError) -> None:
        with self._opening:
            if state is None or self._login is not state:
                return
            self._drop(log_out=False)
            if error.code in codes.TOKEN_LOST:
                self.module.restart(state.generation)

    def _drop(self, *, log_out: bool) -> None:
        state, self._login = self._login, None
        with self._pool:
            idle, self._idle = self._idle, []
        if state is None:
            return
        with self.module.gate.shared():
            if state.generation != self.module.generation:
                self._owns_login = False
                return
            for worker in idle:
                self._close_session(worker.handle)
            if log_out and self._owns_login:
                with suppress(CkError):
                    self.module.cryptoki.logout(state.anchor.handle)
                self._owns_login = False
            self._close_session(state.anchor.handle)

    def _forget_sessions(self) -> None:
        # The module was restarted: its handles may belong to somebody else by now and must not be closed.
        with self._pool:
            self._idle, self._login, self._owns_login = [], None, False

    # -- sessions

    @contextmanager
    def _borrowed(self, state: Login, writable: bool) -> Iterator[Worker]:
        with self.module.gate.shared():
            if state.generation != self.module.generation:
                raise CkError(codes.SESSION_HANDLE_INVALID, "session")
            worker = self._take(state, writable)
            worker.uses += 1
            try:
                yield worker
            except BaseException:
                # Some modules leave the failed operation active: nobody may meet it.
                self._put_away(worker, keep=False)
                raise
            self._put_away(worker, keep=not writable and not worker.spoiled and worker.uses < _MAX_USES)

    def _take(self, state: Login, writable: bool) -> Worker:
        deadline = time.monotonic() + SESSION_TIMEOUT_S
        while True:
            with self._pool:
                if not writable:
                    while self._idle:
                        worker = self._idle.pop()
                        if worker.login is state:
                            self._busy += 1
                            return worker
                self._busy += 1
            try:
                with calling("C_OpenSession"):
                    session = state.found.token.open(rw=writable)
                return Worker(session, self.module.cryptoki, state, writable)
            except CkError as error:
                with self._pool:
                    self._busy -= 1
                    if error.code != codes.SESSION_COUNT:
                        raise
                    self._make_room(deadline, writable)

    def _make_room(self, deadline: float, writable: bool) -> None:
        if self._idle:
            if writable:  # an idle session is of no use for this; without it there is room for one that is
                self._close_session(self._idle.pop().handle)
        elif not self._busy or not self._pool.wait(max(0.0, deadline - time.monotonic())):
            raise KeyStoreBusyError(
                f"token {self.name.label} has no session free", hint="other programs hold all of them"
            )

    def _put_away(self, worker: Worker, *, keep: bool) -> None:
        with self._pool:
            self._busy -= 1
            keep = keep and worker.login is self._login and len(self._idle) < _MAX_IDLE
            if keep:
                self._idle.append(worker)
        if not keep:
            self._close_session(worker.handle)
        with self._pool:
            self._pool.notify()

    def _close_session(self, handle: int) -> None:
        # It may be gone already, with the token or because that was the very failure.
        with suppress(CkError):
            self.module.cryptoki.close_session(handle)
