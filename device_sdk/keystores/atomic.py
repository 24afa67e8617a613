"""Key files and certificates on disk: either the old file is there or the new one, whole, also after a power cut."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from device_sdk.errors import KeyExistsError, KeyNotFoundError, KeyStoreError, StoreCorruptError

PRIVATE = 0o600
"""Mode of files that hold a key."""

PUBLIC = 0o644
"""Mode of files that hold a certificate."""


def status_of(path: Path, *, follow: bool = True) -> os.stat_result | None:
    """What the system says about a name, or None if there is nothing of that name.

    pathlib's own questions let some failures out as they are and answer others with no, depending on Python's version.

    Args:
        path: the name.
        follow: whether to look through a symbolic link; one that leads nowhere is nothing then.

    Raises:
        KeyStoreError: it cannot be looked at: a directory on the way is closed to this user, or no file can have this
            name.
    """
    try:
        return path.stat(follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _failed("looked at", path, error) from error


def is_taken(path: Path) -> bool:
    """Whether something of that name is there; a symbolic link counts, wherever it points. KeyStoreError as status_of."""
    return status_of(path, follow=False) is not None


def is_file(path: Path) -> bool:
    """Whether a regular file is there, perhaps through a link. KeyStoreError as status_of."""
    status = status_of(path)
    return status is not None and stat.S_ISREG(status.st_mode)


def is_directory(path: Path) -> bool:
    """Whether a directory is there, perhaps through a link. KeyStoreError as status_of."""
    status = status_of(path)
    return status is not None and stat.S_ISDIR(status.st_mode)


def create_file(path: Path, data: bytes | bytearray, mode: int) -> None:
    """Write a file that must not exist yet.

    Raises:
        KeyExistsError: something of that name is there (a symbolic link counts, wherever it points).
        KeyStoreError: it cannot be written; nothing is left behind.
    """
    try:
        if not _link_unnamed(path, data, mode):
            with _temporary(path, data, mode) as temporary:
                link(temporary, path)
        sync_directory(path.parent)
    except FileExistsError as error:
        raise KeyExistsError(f"{path} exists already", uri=str(path)) from error
    except (OSError, ValueError) as error:
        raise _failed("written", path, error) from error


def replace_file(path: Path, data: bytes | bytearray, mode: int) -> None:
    """Write a file in place of an older one of that name, if there is one.

    Raises:
        KeyStoreError: it cannot be written, or the name belongs to a symbolic link or something else that is not a file;
            what was there is unchanged.
    """
    status = status_of(path, follow=False)
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise KeyStoreError(f"{path} is not a regular file and is not replaced", uri=str(path))
    try:
        with _temporary(path, data, mode) as temporary:
            temporary.rename(path)
        sync_directory(path.parent)
    except (OSError, ValueError) as error:
        raise _failed("written", path, error) from error


def remove_file(path: Path) -> bool:
    """Remove a file durably; False if there was none.

    Raises:
        KeyStoreError: it cannot be removed.
    """
    try:
        path.lstat()  # a file system that is read-only refuses to remove what is not there
        path.unlink()
        sync_directory(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise _failed("removed", path, error) from error
    return True


def read_file(path: Path, limit: int) -> tuple[bytes, os.stat_result]:
    """A regular file, at most `limit` bytes, and what the system says about it.

    Raises:
        KeyNotFoundError: there is no such file.
        StoreCorruptError: it is longer, or not a regular file.
        KeyStoreError: it cannot be read.
    """
    try:
        # a FIFO of that name must not block us until somebody writes
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise KeyNotFoundError(f"{path}: no such file", uri=str(path)) from error
    except (OSError, ValueError) as error:
        raise _failed("read", path, error) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise StoreCorruptError(f"{path} is not a file", uri=str(path))
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(limit + 1)
        except OSError as error:
            raise _failed("read", path, error) from error
    if len(data) > limit:
        raise StoreCorruptError(f"{path} is larger than {limit} bytes", uri=str(path))
    return data, status


def list_files(directory: Path, *, limit: int = 10_000) -> tuple[Path, ...]:
    """The regular files of a directory, by name; hidden ones are left out, and those whose names are not UTF-8.

    A name that is not UTF-8 fits into no key URI.

    Raises:
        KeyNotFoundError: there is no such directory.
        KeyStoreError: it cannot be read, or holds more than `limit` names.
    """
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries if _is_shown(entry.name) and entry.is_file()]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise KeyNotFoundError(f"{directory}: no such directory", uri=str(directory)) from error
    except (OSError, ValueError) as error:
        raise _failed("read", directory, error) from error
    if len(names) > limit:
        raise KeyStoreError(f"{directory} holds more than {limit} files", uri=str(directory))
    return tuple(directory / name for name in sorted(names))


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and not any("\ud800" <= character <= "\udfff" for character in name)


def sync_directory(path: Path) -> None:
    """Make names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link_unnamed(path: Path, data: bytes | bytearray, mode: int) -> bool:
    """Write a file that has no name until it is complete: a crash leaves nothing. False where that is not supported."""
    descriptor = open_unnamed(path.parent)
    if descriptor is None:
        return False
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        _fill(file, data, mode)
        try:
            name_unnamed(descriptor, path)
        except FileNotFoundError:  # no /proc
            return False
    return True


def open_unnamed(directory: Path) -> int | None:
    """A file without a name in that directory, for writing; None where that is not supported.

    Raises:
        OSError: no file can be made there.
    """
    try:
        return os.open(directory, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        if error.errno not in _NO_UNNAMED_FILES:
            raise
        return None


def name_unnamed(descriptor: int, path: Path) -> None:
    """Give a file without a name this one.

    Raises:
        FileExistsError: it is taken.
        FileNotFoundError: there is no /proc.
        OSError: it cannot be had.
    """
    # a directory descriptor, unused with absolute paths, makes Python call linkat(2), which can follow links
    os.link(f"/proc/self/fd/{descriptor}", path.absolute(), src_dir_fd=descriptor, follow_symlinks=True)


_NO_UNNAMED_FILES = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)


@contextmanager
def _temporary(path: Path, data: bytes | bytearray, mode: int) -> Iterator[Path]:
    """The data in a synced file beside `path`, which the block gives its final name; gone afterwards."""
    sweep(path)
    temporary = temporary_name(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _fill(file, data, mode)
        yield temporary
    finally:
        with suppress(OSError):
            temporary.unlink()


def _fill(file: FileIO, data: bytes | bytearray, mode: int) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
    os.fchmod(file.fileno(), mode)
    os.fsync(file.fileno())


def temporary_name(path: Path) -> Path:
    """A name beside this one, which `sweep` knows again."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def link(source: Path, target: Path) -> None:
    """Give the file its name, another one beside its old; unlike rename, a hard link refuses to replace.

    Raises:
        FileExistsError: the name is taken.
        OSError: it cannot be had.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        # FAT knows no hard links: look, then rename
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        source.rename(target)


def sweep(path: Path) -> None:
    """Remove what processes that were killed in the middle of writing this very file left behind.

    Raises:
        OSError: the directory cannot be read.
    """
    pattern = re.compile(rf"\.{re.escape(path.name)}\.([0-9]+)\.[0-9a-f]{{8}}\.tmp")
    for entry in path.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            with suppress(OSError):
                entry.unlink()


def discard(descriptor: int | None, temporary: Path | None) -> None:
    """Close what was to become a file, and remove the name it had meanwhile; a name that cannot be removed is swept later."""
    if descriptor is not None:
        os.close(descriptor)
    if temporary is not None:
        with suppress(OSError):
            temporary.unlink()


def _failed(what: str, path: Path, error: OSError | ValueError) -> KeyStoreError:
    hint = None
    if isinstance(error, FileNotFoundError):
        hint = f"make the directory first: mkdir -m 700 -p {path.parent}"
    shown = str(path).encode(errors="backslashreplace").decode().replace("\0", "\\0")
    # ValueError: a zero byte, or what is no text in the file system's encoding
    reason = error.strerror or str(error) if isinstance(error, OSError) else "no file can have this name"
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return KeyStoreError(f"{shown} cannot be {what}: {reason}", hint=hint, uri=shown, no_room=full or None)
