"""Files the command line reads and writes: bounded, and whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from device_sdk.errors import ConfigurationError

_RESERVED_BYTES = 64 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def read_file(path: str, *, limit_bytes: int = 16 * 1024 * 1024) -> bytes:
    """Read a whole file, bounded.

    Raises:
        ConfigurationError: it cannot be read, or is larger than the limit.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > limit_bytes:
        raise ConfigurationError(f"{path} is larger than {limit_bytes} bytes")
    return content


def write_file(path: str, content: bytes, *, mode: int = 0o644) -> None:
    """Write a whole file or nothing; see OutputFile.

    Raises:
        ConfigurationError: the place cannot be written; an existing file there is unchanged.
    """
    with OutputFile(path, mode=mode) as file:
        file.write(content)


class OutputFile:
    """A file that is replaced in one step: temporary file beside it, fsync, rename. A context manager.

    The temporary file is made at once and given some room on the disk, so that a place that cannot be written shows
    before anything has been asked of a server. A symbolic link of ours stays one, a device is written as it is, a pipe only
    if it is ours and somebody reads it; links and pipes that another user put there are refused.

    Args:
        path: where the content goes; None makes an object that writes nothing.
        mode: permissions, less the umask.

    Raises:
        ConfigurationError: on construction or `write`; an existing file there is unchanged.

    Attributes:
        is_regular: it is a file, not a device or a pipe, nor nothing.
    """

    def __init__(self, path: str | None, *, mode: int = 0o644) -> None:
        self.path = path
        self._mode = mode
        self._temporary: str | None = None
        self._descriptor: int | None = None
        self.is_regular = False
        if path is None:
            return
        try:
            self._target = _followed(path)
            self.is_regular = not _is_special(Path(path))
            if self.is_regular:
                self._reserve()
            else:
                self._descriptor = _open_special(path)
        except OSError as error:
            self._discard()
            raise self._failure(error) from error

    def _reserve(self) -> None:
        target = Path(self._target)
        self._descriptor, self._temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            os.posix_fallocate(self._descriptor, 0, _RESERVED_BYTES)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise

    def write(self, content: bytes) -> None:
        """Put the content there; once.

        Raises:
            ConfigurationError: it could not be written.
        """
        if self._descriptor is None:
            return
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._descriptor, view) :]
            if self._temporary is not None:
                self._commit(self._descriptor, self._temporary)
        except OSError as error:
            raise self._failure(error) from error
        finally:
            self._discard()

    def _commit(self, descriptor: int, temporary: str) -> None:
        os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
        os.fchmod(descriptor, self._mode & ~_umask())
        os.fsync(descriptor)
        os.replace(temporary, self._target)  # noqa: PTH105  # the path of mkstemp is text
        self._temporary = None
        directory = os.open(Path(self._target).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _discard(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._temporary is not None:
            with suppress(OSError):
                Path(self._temporary).unlink()
            self._temporary = None

    def _failure(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(f"cannot write {self.path}: {error.strerror}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._discard()


def _followed(path: str) -> str:
    """Where a symbolic link leads, if it is one of this user or of root."""
    status = os.lstat(path) if Path(path).is_symlink() else None
    if status is None:
        return path
    if status.st_uid not in (0, os.geteuid()):
        raise PermissionError(errno.EPERM, "it is a symbolic link of another user")
    return os.path.realpath(path)


def _open_special(path: str) -> int:
    """A device, or a pipe of this user that has a reader."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not stat.S_ISCHR(status.st_mode) and status.st_uid != os.geteuid():
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "it belongs to another user")
    os.set_blocking(descriptor, True)
    return descriptor


def _is_special(path: Path) -> bool:
    """A device, a pipe or a socket, which must not be replaced by a file; IsADirectoryError for a directory."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return not stat.S_ISREG(mode)


def _umask() -> int:
    # it can only be read by setting it; the command line has one thread when it writes files
    present = os.umask(0o077)
    os.umask(present)
    return present
