"""One TPM as this process sees it: connection, locks, retries, reconnection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from tpm2_pytss import ESAPI, TPM2_CAP, TSS2_Exception

from device_sdk.errors import KeyStoreBusyError, KeyStoreError, TokenRemovedError
from device_sdk.keystores.tpm2.connection import Connection
from device_sdk.keystores.tpm2.counters import with_counters
from device_sdk.keystores.tpm2.errors import Kind, kind_of, to_error
from device_sdk.keystores.tpm2.lock import TpmLock, noted_handles
from device_sdk.keystores.tpm2.scope import Scope, flush_stale
from device_sdk.keystores.tpm2.tcti import has_resource_manager, is_exclusive

T = TypeVar("T")

DEADLINE_S = 30.0
"""How long one operation waits for locks, for slots, and for a TPM that says "later"."""

_MEMORY_PATIENCE_S = 2.0
_FIRST_WAIT_S = 0.001
_LONGEST_WAIT_S = 0.25


class Tpm:
    """One TPM; safe to use from several threads, and after a fork.

    Args:
        tcti: how it is reached, as tpm2-tools spell it.

    Attributes:
        connection: used under this object's locks only.
    """

    def __init__(self, tcti: str) -> None:
        self.tcti = tcti
        self._thread_lock = threading.RLock()
        self._lock = None if has_resource_manager(tcti) else TpmLock(tcti)
        self.connection = Connection(tcti)
        self._held_for_fork = False

    def run(
        self, operation: str, work: Callable[[Scope], T], *, where: str | None = None, deadline_s: float = DEADLINE_S
    ) -> T:
        """Do something with the TPM alone to ourselves; whatever `work` loads is flushed afterwards.

        `work` is called again, from its start, when the TPM asks for patience (TPM_RC_RETRY and its relatives), when no
        slot is free for a moment, and once when the connection broke or the TPM was reset: it must be idempotent.

        Args:
            operation: what is done, for messages: "sign".
            work: gets the scope; TSS2_Exception may leave it.
            where: redacted URI of the key, for messages; the TPM itself if None.
            deadline_s: how long to be patient.

        Raises:
            KeyStoreError: the TPM's answer, as one of its subclasses; TokenRemovedError if it went away.
        """
        place = where or f"tpm2:?tcti={self.tcti}"
        deadline = time.monotonic() + deadline_s
        with self._alone(deadline):
            tries = _Tries(deadline)
            while True:
                try:
                    return self._once(work, place, deadline)
                except TSS2_Exception as error:
                    gone = kind_of(error.rc) is Kind.GONE
                    if gone:
                        self.connection.close()
                    if not tries.another(kind_of(error.rc)):
                        raise self._final(error, operation, place) from error
                    if gone and self._lock is not None:
                        # only the line broke, perhaps, and what was loaded is still there
                        self._flush_noted(self._lock, place, deadline)

    def _once(self, work: Callable[[Scope], T], place: str, deadline: float) -> T:
        scope = Scope(self.connection.esys(place, deadline), self._lock, self.connection.persistent)
        try:
            result = work(scope)
        except BaseException as error:
            with suppress(TSS2_Exception):  # the first failure is the one to report
                scope.close()
            if isinstance(error, KeyStoreError) and error.uri is None:
                error.uri, error.args = place, (f"{place}: {error.message}",)
            raise
        scope.close()
        self.connection.answered = True
        return result

    def _final(self, error: TSS2_Exception, operation: str, place: str) -> KeyStoreError:
        if kind_of(error.rc) is Kind.GONE:
            return TokenRemovedError(
                f"{place}: the TPM went away and could not {operation}", uri=place, return_code=int(error.rc)
            )
        mapped = to_error(int(error.rc), operation, place)
        esys = self.connection.current
        return with_counters(mapped, int(error.rc), esys) if esys is not None else mapped

    @contextmanager
    def _alone(self, deadline: float) -> Iterator[None]:
        """The only thread of this process, and without a resource manager the only process, that uses the TPM."""
        if not self._thread_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise KeyStoreBusyError(f"{self.tcti}: other threads kept this TPM busy", uri=self.tcti)
        try:
            if self._lock is not None:
                self._lock.acquire(deadline)
            try:
                if self._lock is not None:
                    self._flush_noted(self._lock, self.tcti, deadline)
                yield
            finally:
                if is_exclusive(self.tcti):
                    self.connection.close()
                if self._lock is not None:
                    self._lock.release()
        finally:
            self._thread_lock.release()

    def _flush_noted(self, lock: TpmLock, place: str, deadline: float) -> None:
        """Flush what a dead process, or a broken connection, left loaded; the note stays if that fails."""
        note = lock.read()
        if not note:
            return
        handles, one_more = noted_handles(note)
        try:
            esys = self.connection.esys(place, deadline)
            # it died between asking for an object and noting its handle; nobody else may use this TPM just now
            flush_stale(esys, (*loaded_objects(esys), *_loaded_sessions(esys)) if one_more else handles)
        except TSS2_Exception:
            self.connection.close()
        else:
            lock.note(())

    def before_fork(self) -> None:
        """Wait until no command is under way: a child would inherit half a conversation."""
        self._held_for_fork = self._thread_lock.acquire(timeout=DEADLINE_S)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._held_for_fork:
            self._held_for_fork = False
            self._thread_lock.release()

    def after_fork_in_child(self) -> object:
        """Forget the parent's connection and lock without a word to the TPM; returns what must never be finalised."""
        self._thread_lock = threading.RLock()
        self._held_for_fork = False
        if self._lock is not None:
            self._lock.forget()
        return self.connection.inherited()


class _Tries:
    """Whether, and after which pause, a refused command is sent again."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._memory_deadline = min(deadline, time.monotonic() + _MEMORY_PATIENCE_S)
        self._wait = _FIRST_WAIT_S
        self._reconnected = False

    def another(self, kind: Kind) -> bool:
        """Wait as the kind of refusal asks for; False when it is final."""
        if kind is Kind.GONE:
            first, self._reconnected = not self._reconnected, True
            return first
        deadline = {Kind.AGAIN: self._deadline, Kind.MEMORY: self._memory_deadline}.get(kind)
        if deadline is None or time.monotonic() >= deadline:
            return False
        time.sleep(self._wait)
        self._wait = min(self._wait * 2, _LONGEST_WAIT_S)
        return True


def loaded_objects(esys: ESAPI) -> tuple[int, ...]:
    """Handles of all transient objects in the TPM (behind a resource manager: of this connection)."""
    _, data = esys.get_capability(TPM2_CAP.HANDLES, 0x80000000, 64)
    return tuple(int(handle) for handle in data.data.handles)


def _loaded_sessions(esys: ESAPI) -> tuple[int, ...]:
    _, data = esys.get_capability(TPM2_CAP.HANDLES, 0x02000000, 64)
    return tuple(int(handle) for handle in data.data.handles)
