"""Where processes of this machine meet: lock files of the keystores."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_sdk.errors import KeyStoreBusyError, KeyStoreError
from device_sdk.model.forks import LockFile

_HINT = "set DEVICE_SDK_RUNTIME_DIR to a directory of this user's own, mode 0700"
_PAUSE_S = 0.01


def runtime_directory() -> Path:
    """The directory of lock files: DEVICE_SDK_RUNTIME_DIR, /run/device-sdk (root), XDG_RUNTIME_DIR, or /tmp; mode 0700.

    All processes that share a token or a TPM must agree on it.

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


def open_lock_file(name: str) -> int:
    """A lock file of the runtime directory, made if it is missing; the caller closes the descriptor.

    Raises:
        KeyStoreError: it cannot be made, or is a link.
    """
    path = runtime_directory() / name
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise KeyStoreError(f"{path}: {error.strerror}", hint=_HINT) from error


@contextmanager
def exclusively(what: str, timeout_s: float) -> Iterator[None]:
    """Be the only thread of all this user's processes that is in here for `what`.

    The kernel lets go of the lock when its holder dies.

    Args:
        what: any text; names the token.
        timeout_s: how long to wait for the others.

    Raises:
        KeyStoreBusyError: another process or thread was in here all the time.
        KeyStoreError: the lock file cannot be made.
    """
    descriptor = open_lock_file(hashlib.sha256(what.encode()).hexdigest()[:32] + ".lock")
    file = LockFile(descriptor)
    try:
        _lock(descriptor, what, timeout_s)
        yield
    finally:
        file.close()


def _lock(descriptor: int, what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise KeyStoreBusyError(f"another process is changing {what}", hint="try again later") from error
        else:
            return
        time.sleep(_PAUSE_S)
