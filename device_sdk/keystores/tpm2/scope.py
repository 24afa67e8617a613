"""What one use of the TPM has loaded; all of it is flushed when the use ends, however it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeAlias

from tpm2_pytss import ESAPI, TSS2_Exception

from device_sdk.keystores.tpm2.errors import Kind, kind_of
from device_sdk.keystores.tpm2.lock import TpmLock

Handle: TypeAlias = Any
"""An ESYS_TR: ESAPI's name for an object; tpm2-pytss is untyped."""

_FLUSH_TRIES = 200
_FLUSH_WAIT_S = 0.005


class Scope:
    """Objects loaded during one exclusive use of a TPM.

    Args:
        esys: the ESAPI context; no other thread uses it during this scope.
        lock: where loaded handles are noted, or None behind a resource manager, which cleans up after the dead itself.
        persistent: ESAPI's names of persistent objects, kept for the life of the connection.
    """

    def __init__(self, esys: ESAPI, lock: TpmLock | None, persistent: dict[int, Handle]) -> None:
        self.esys = esys
        self._lock = lock
        self._persistent = persistent
        self._loaded: dict[Handle, int] = {}

    def add(self, load: Callable[[], Handle]) -> Handle:
        """Call `load`, which brings one transient object into the TPM, and flush that object at the end."""
        self._note(loading=True)
        try:
            handle = load()
        except TSS2_Exception as error:
            # where the answer was lost the object may be there all the same: the note stays as it is
            if kind_of(error.rc) is not Kind.GONE:
                self._note()
            raise
        self._loaded[handle] = self.esys.tr_get_tpm_handle(handle)
        self._note()
        return handle

    def flush(self, handle: Handle) -> None:
        """Give the slot of one object back before the end."""
        _patiently(lambda: self.esys.flush_context(handle))
        del self._loaded[handle]
        self._note()

    def persistent(self, handle: int) -> Handle:
        """ESAPI's name of a persistent object; asked of the TPM once per connection."""
        if handle not in self._persistent:
            self._persistent[handle] = self.esys.tr_from_tpmpublic(handle)
        return self._persistent[handle]

    def forget_persistent(self, handle: int) -> None:
        """Ask the TPM again next time: the object under this handle changed."""
        known = self._persistent.pop(handle, None)
        if known is not None:
            self.esys.tr_close(known)

    def close(self) -> None:
        """Flush everything.

        Raises:
            TSS2_Exception: the TPM is gone; whatever was loaded went with it.
        """
        for handle in reversed(list(self._loaded)):
            self.flush(handle)

    def _note(self, *, loading: bool = False) -> None:
        if self._lock is not None:
            self._lock.note(self._loaded.values(), loading=loading)


def _patiently(action: Callable[[], None]) -> None:
    """Flushing must not fail because the TPM says "later": a lost slot is one of three."""
    for tries_left in range(_FLUSH_TRIES, -1, -1):
        try:
            action()
        except TSS2_Exception as error:
            if kind_of(error.rc) is not Kind.AGAIN or not tries_left:
                raise
            time.sleep(_FLUSH_WAIT_S)
        else:
            return


def flush_stale(esys: ESAPI, handles: tuple[int, ...]) -> None:
    """Flush transient objects by their TPM handles, as far as they are still there."""
    for handle in handles:
        try:
            esys.flush_context(esys.tr_from_tpmpublic(handle))
        except TSS2_Exception as error:
            if kind_of(error.rc) is Kind.GONE and error.rc >> 16:
                raise
