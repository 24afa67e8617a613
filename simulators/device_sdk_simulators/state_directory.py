"""The server's directory: one server in it at a time, and nobody else reads there."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from device_sdk_simulators.softhsm import SimulatorError

PUBLIC = ("anchors.pem", "issuer.pem")
"""Files of CAs that are meant for others: `ReferenceServer.ca_file` and `issuer_file`."""
_OURS = ("lock", "password", "log.jsonl*", "server.sqlite*", "ca", "ca/*", "ca/*/*", "cale", "cale/*")
_PACKAGES = ("firmware", "firmware/*", "keys-ca", "keys-ca/*", "firmware-ca", "firmware-ca/*", "packages.lock")
_TAMP = ("tamp-ca", "tamp-ca/*", "tamp-ca/*/*", "tamp-ca/*/*/*")
_LABELS = ("labels", "labels/*", "labels/*/*", "labels/*/*/*")
_EVERYBODYS = stat.S_ISVTX | stat.S_IWOTH


class StateInUseError(SimulatorError):
    """Another server works in this state directory."""


class StateUnusableError(SimulatorError):
    """The directory cannot be made or written to."""


def open_directory(state: Path) -> int:
    """Make the directory if it is missing, take it for this process and close it to others.

    Args:
        state: the directory; one that everybody may write to (/tmp) keeps its permissions, the files in it do not.

    Returns:
        A descriptor that holds the lock; the lock goes with the process, however it ends.

    Raises:
        StateInUseError: another server has it.
        StateUnusableError: it cannot be made or written to.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileExistsError, NotADirectoryError) as error:
        raise StateUnusableError(f"{state} is not a directory") from error
    except OSError as error:
        raise StateUnusableError(f"cannot write to the state directory {state}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StateInUseError(f"another server works in {state}") from error
    if not state.stat().st_mode & _EVERYBODYS:
        _close(state, 0o700)
    for pattern in (*_OURS, *_PACKAGES, *_TAMP, *_LABELS):
        for path in state.glob(pattern):
            public = path.name in PUBLIC and path.parent != state
            _close(path, 0o700 if path.is_dir() else 0o644 if public else 0o600)
    return lock


def _close(path: Path, mode: int) -> None:
    status = path.stat()
    # what belongs to somebody else is theirs to close, and only they can
    if status.st_uid == os.geteuid() and status.st_mode & 0o777 & ~mode:
        path.chmod(mode)
