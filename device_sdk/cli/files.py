"""Files the command line reads and writes: bounded, and whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from device_sdk.cli.precious import claim, release
from device_sdk.errors import ConfigurationError
from device_sdk.keystores.atomic import (
    PRIVATE,
    discard,
    link,
    name_unnamed,
    open_unnamed,
    sweep,
    sync_directory,
    temporary_name,
)

_RESERVED_BYTES = 64 * 1024
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def read_file(path: str, *, limit_bytes: int = 16 * 1024 * 1024, waits: bool = True) -> bytes:
    """Read a whole file, bounded.

    Args:
        path: the file.
        limit_bytes: at most so many.
        waits: whether a pipe is waited for that nobody has opened to write; if not, it is empty.

    Raises:
        ConfigurationError: it cannot be read, or is larger than the limit.
    """
    try:
        with open(path, "rb", opener=None if waits else _open_at_once) as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}", hint=what_to_do(error, path)) from error
    if len(content) > limit_bytes:
        raise ConfigurationError(f"{path} is larger than {limit_bytes} bytes", hint="is it the file that was meant?")
    return content


def _open_at_once(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def what_to_do(error: OSError, path: str | Path) -> str:
    """What a person can do about a file that cannot be read or written."""
    if error.errno in _NO_ROOM:
        return "make some room, or write elsewhere"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "change its permissions or those of its directory, or name another file"
    if error.errno == errno.EISDIR:
        return "name a file, not a directory"
    if not Path(path).parent.is_dir():
        return f"check the name, or make the directory {Path(path).parent}"
    return "check the name" if Path(path).is_absolute() else f"check the name, which is looked for in {Path.cwd()}"


def write_file(path: str, content: bytes, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write a whole file or nothing; see OutputFile.

    Raises:
        ConfigurationError: the place cannot be written; an existing file there is unchanged.
    """
    with OutputFile(path, mode=mode, replace=replace) as file:
        file.write(content)


class OutputFile:
    """A file that is made or replaced in one step: a file without a name, fsync, link, rename. A context manager.

    Where files without names are not to be had, it has a temporary one beside the target; the next run removes what a
    killed one left. The file is made at once and given some room on the disk, so that a place that cannot be written shows
    before anything has been asked of a server. A symbolic link of ours stays one, a device is written as it is, a pipe only
    if it is ours and somebody reads it; links and pipes that another user put there are refused.

    Args:
        path: where the content goes; None makes an object that writes nothing.
        mode: permissions, less the umask.
        replace: whether an existing file is replaced; if not, one that somebody makes meanwhile stays.

    Raises:
        ConfigurationError: on construction or `write`, from FileExistsError where a name is taken that must not be; an
            existing file there is unchanged. On construction, too, where a private key, a secret of this command or
            another result of it is (see `precious`).

    Attributes:
        is_regular: it is a file, not a device or a pipe, nor nothing.
    """

    def __init__(self, path: str | None, *, mode: int = 0o644, replace: bool = True) -> None:
        self.path = path
        self._mode, self._replace = mode, replace
        self._temporary: Path | None = None
        self._descriptor: int | None = None
        self.is_regular = False
        if path is None:
            return
        try:
            self._target = _followed(path)
            self.is_regular = not _is_special(Path(path))
            if self.is_regular:
                claim(self, self._target, replace=replace)
                self._reserve()
            else:
                self._descriptor = _open_special(path)
        except OSError as error:
            self._discard()
            raise self._failure(error) from error

    def _reserve(self) -> None:
        target = Path(self._target)
        with suppress(OSError):  # a directory that may be written need not be one that may be read
            sweep(target)
        self._descriptor = open_unnamed(target.parent) if Path("/proc/self/fd").is_dir() else None
        if self._descriptor is None:
            temporary = temporary_name(target)
            self._descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
            self._temporary = temporary
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
            if self.is_regular:
                self._commit(self._descriptor, Path(self._target))
        except OSError as error:
            raise self._failure(error) from error
        finally:
            self._discard()

    def _commit(self, descriptor: int, target: Path) -> None:
        os.ftruncate(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR))
        os.fchmod(descriptor, self._mode & ~_umask())
        os.fsync(descriptor)
        if self._temporary is None and not self._replace:
            name_unnamed(descriptor, target)
        else:
            if self._temporary is None:
                temporary = temporary_name(target)  # only rename replaces, and it needs a name
                name_unnamed(descriptor, temporary)
                self._temporary = temporary
            if self._replace:
                self._temporary.rename(target)
                self._temporary = None
            else:
                link(self._temporary, target)
        sync_directory(target.parent)

    def _discard(self) -> None:
        discard(self._descriptor, self._temporary)
        self._descriptor = self._temporary = None

    def _failure(self, error: OSError) -> ConfigurationError:
        words = f"cannot write {self.path}: {error.strerror}"
        return ConfigurationError(words, hint=what_to_do(error, self.path or ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._discard()
        release(self)


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
    # it can only be read by setting it; the one other thread there may be (`interrupt`) makes no files
    present = os.umask(0o077)
    os.umask(present)
    return present
