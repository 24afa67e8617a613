"""Files that this program left behind for a later run: ours alone, and one run at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_sdk.cli.files import what_to_do
from device_sdk.errors import ConfigurationError


@contextmanager
def own_file(path: str, *, limit_bytes: int) -> Iterator[bytes]:
    """Read a file of this user, and keep other runs from it until the end of the context, also when it is replaced.

    Whoever wrote the file says what is signed and believed next, so that has to be this user.

    Raises:
        ConfigurationError: on entering: it cannot be read, is no regular file, another user's or too large, or another
            run has it.
    """
    descriptor = _opened(path)
    try:
        content = _content(descriptor, path, limit_bytes)
        yield content
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    try:
        # a pipe nobody writes to would be waited for
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", hint=what_to_do(error, path)) from error


def _content(descriptor: int, path: str, limit_bytes: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"cannot read {path}: it is not a regular file", hint="name another one")
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"cannot read {path}: it belongs to another user, who would say what is signed and believed",
            hint="delete it, or name another file",
        )
    _lock(descriptor, path)
    with open(descriptor, "rb", closefd=False) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise ConfigurationError(f"{path} is larger than {limit_bytes} bytes", hint="is it the file that was meant?")
    return content


def _lock(descriptor: int, path: str) -> None:
    """The file itself is locked: there is nothing to be left behind. One that was replaced meanwhile is no longer it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ours = os.path.samestat(os.fstat(descriptor), Path(path).stat())
    except (BlockingIOError, FileNotFoundError):
        ours = False
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", hint=what_to_do(error, path)) from error
    if not ours:
        raise ConfigurationError(f"another run is using {path}", hint="run the same command again when that has ended")
