"""One process at a time on a TPM that has no resource manager, and what a process that died left loaded."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from device_sdk.errors import KeyStoreBusyError, KeyStoreError

_FIRST_WAIT_S = 0.0005
_LONGEST_WAIT_S = 0.02
_MARK = b"loading"
_NOTE_BYTES = 64


def runtime_directory() -> Path:
    """The directory of lock files: DEVICE_SDK_RUNTIME_DIR, /run/device-sdk (root), XDG_RUNTIME_DIR, or /tmp; mode 0700.

    All processes that share a TPM without a resource manager must agree on it.

    Raises:
        KeyStoreError: it cannot be made, or belongs to somebody else.
    """
    configured, uid = os.environ.get("DEVICE_SDK_RUNTIME_DIR"), os.getuid()
    if configured:
        path = Path(configured)
    elif uid == 0:
        path = Path("/run/device-sdk")
    elif os.environ.get("XDG_RUNTIME_DIR"):
        path = Path(os.environ["XDG_RUNTIME_DIR"]) / "device-sdk"
    else:
        path = Path(tempfile.gettempdir()) / f"device-sdk-{uid}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise KeyStoreError(f"{path} for lock files cannot be made: {error.strerror}", hint=_HINT) from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o022:
        raise KeyStoreError(f"{path} for lock files is not a private directory of this user", hint=_HINT)
    return path


_HINT = "set DEVICE_SDK_RUNTIME_DIR to a directory of this user's own, mode 0700"


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
        path = runtime_directory() / name
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise KeyStoreError(f"{path}: {error.strerror}", hint=_HINT) from error


def noted_handles(note: bytes) -> tuple[tuple[int, ...], bool]:
    """The handles in a note, and whether one more may have been loaded that is not in it."""
    words = note.split()
    handles = []
    for word in words:
        with suppress(ValueError):
            handles.append(int(word, 16))
    return tuple(handle for handle in handles if handle >> 24 == 0x80), _MARK in words
