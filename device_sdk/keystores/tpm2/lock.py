"""One process at a time on a TPM that has no resource manager, and what a process that died left loaded."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterable
from contextlib import suppress

from device_sdk.errors import KeyStoreBusyError
from device_sdk.keystores.runtime import open_lock_file

_FIRST_WAIT_S = 0.0005
_LONGEST_WAIT_S = 0.02
_MARK = b"loading"
_NOTE_BYTES = 64
_FLUSHED = (0x80, 0x02)  # TPM_HT_TRANSIENT, TPM_HT_HMAC_SESSION


class TpmLock:
    """The lock of one TPM: an flock on a file named after its TCTI.

    While objects are loaded their handles are noted in the file, so that whoever gets the lock after a crash knows
    exactly which objects are stale.

    Args:
        tcti: the TPM.
    """

    def __init__(self, tcti: str) -> None:
        self._tcti = tcti
        self._descriptor: int | None = None

    def acquire(self, deadline: float) -> None:
        """Take the lock.

        Args:
            deadline: on time.monotonic().

        Raises:
            KeyStoreBusyError: another process held it until the deadline.
        """
        if self._descriptor is None:
            self._descriptor = self._open()
        wait = _FIRST_WAIT_S
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise KeyStoreBusyError(f"{self._tcti}: another process uses this TPM", uri=self._tcti) from error
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def read(self) -> bytes:
        """What is noted: empty after an orderly release, else what a dead holder had loaded."""
        return os.pread(self._descriptor, _NOTE_BYTES, 0).strip() if self._descriptor is not None else b""

    def note(self, handles: Iterable[int], *, loading: bool = False) -> None:
        """Write down what is loaded; `loading` while a handle that is not known yet is about to be added."""
        if self._descriptor is None:
            return
        words = [f"{handle:08x}".encode() for handle in handles] + ([_MARK] if loading else [])
        # one write of fixed length, so that no crash leaves half a note
        os.pwrite(self._descriptor, b" ".join(words).ljust(_NOTE_BYTES), 0)

    def release(self) -> None:
        """Let the next one in."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def forget(self) -> None:
        """Close the file without unlocking: in a forked child the lock is the parent's."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        name = hashlib.sha256(self._tcti.encode()).hexdigest()[:16] + ".lock"
        return open_lock_file(name)


def noted_handles(note: bytes) -> tuple[tuple[int, ...], bool]:
    """The handles in a note, and whether one more may have been loaded that is not in it."""
    words = note.split()
    handles = []
    for word in words:
        with suppress(ValueError):
            handles.append(int(word, 16))
    return tuple(handle for handle in handles if handle >> 24 in _FLUSHED), _MARK in words
