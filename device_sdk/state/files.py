"""Files that are there whole or not at all, and stay there after a power cut."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from device_sdk.errors import StateCorruptError, StateError, StateNotWritableError

MAX_FILE_BYTES = 1024 * 1024
PRIVATE = 0o600
PUBLIC = 0o644
_SUFFIX = ".tmp"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Map what the operating system says about a write.

    Raises:
        StateNotWritableError: disk full, read-only, no permission, or any other refusal.
        StateError: a path that cannot be one.
    """
    try:
        yield
    except OSError as error:
        raise StateNotWritableError(
            f"{path}: cannot be written: {error.strerror or error}; this file is as it was before",
            hint=_advice(error.errno, path),
            path=str(path),
        ) from error
    except ValueError as error:
        raise _no_path(path, error) from error


def _no_path(path: Path, error: ValueError) -> StateError:
    """A NUL, or characters the file system has no bytes for."""
    shown = ascii(str(path))
    return StateError(f"{shown}: cannot be a path: {error}", hint="name another state directory", path=shown)


def refuse_strangers(path: Path) -> None:
    """Refuse a directory that somebody else can write to: who writes there decides whom the device trusts.

    Nothing happens if it is not there. Root may own it too; a group may not write, whoever is in it today.

    Raises:
        StateError: others own it or may write to it, or it cannot be looked at.
    """
    try:
        link, status = path.lstat(), path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StateError(
            f"{path}: cannot be read: {error.strerror or error}", hint=_advice(error.errno, path), path=str(path)
        ) from error
    except ValueError as error:
        raise _no_path(path, error) from error
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise StateError(
            f"{path}: is a symbolic link of another user (uid {link.st_uid}), who may lead it anywhere",
            hint="name the directory itself",
            path=str(path),
        )
    _refuse_owner(path, status, "directory")


def _refuse_owner(path: Path, status: os.stat_result, what: str) -> None:
    """Refuse what belongs to others, or what others may write to; raises as refuse_strangers."""
    if status.st_uid not in (0, os.geteuid()):
        raise StateError(
            f"{path}: belongs to another user (uid {status.st_uid}), who may change what this device trusts",
            hint=f"run as that user; or look whether its content is yours, then chown {os.geteuid()} {path}",
            path=str(path),
        )
    if status.st_mode & 0o022:
        who = "everybody" if status.st_mode & 0o002 else f"group {status.st_gid}"
        raise StateError(
            f"{path}: {who} may write to this {what}",
            hint=f"chmod go-w {path}, then look whether its content is still yours",
            path=str(path),
        )


def _advice(number: int | None, path: Path) -> str:
    again = "then run the same command again: what is done already is not done twice"
    if number == errno.ENOSPC:
        return f"free some space where {path.parent} is (`df`, and `df -i` for the number of files, say how much is left), {again}"
    if number == errno.EDQUOT:
        return f"free some space, or have the quota of this user raised (`quota`), {again}"
    if number == errno.EFBIG:
        return f"lift the limit on the size of files (`ulimit -f`, LimitFSIZE= of a systemd unit), {again}"
    if number == errno.EROFS:
        return "mount the filesystem read-write and run the same command again"
    if number in (errno.EACCES, errno.EPERM):
        return f"run as the owner of {path.parent}"
    return f"look at {path.parent} and run the same command again"


def write(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Replace a file in one step; when this returns, the new content survives a power cut.

    Raises:
        StateNotWritableError: nothing was changed.
    """
    with writing(path):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")
        try:
            _write_new(temporary, data, mode)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def require_writable(directory: Path, size: int = 32 * 1024) -> None:
    """Make sure that so many octets could be written there now; nothing is left of them.

    Raises:
        StateNotWritableError: they cannot.
    """
    with writing(directory / "room"), tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(path: Path, target: str) -> None:
    """Let a symbolic link point to `target` (relative), replacing an older one in one step.

    Raises:
        StateNotWritableError: nothing was changed.
    """
    with writing(path):
        if path.is_symlink() and str(path.readlink()) == target:
            return
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")
        try:
            temporary.symlink_to(target)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove a file for good; nothing happens if it is not there.

    Raises:
        StateNotWritableError: it is still there.
    """
    with writing(path):
        try:
            path.unlink()
        except FileNotFoundError:
            return
        sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory, 0700, and its parents; nothing happens if it is there.

    Raises:
        StateNotWritableError: it cannot be made.
    """
    with writing(path):
        if path.is_dir():
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path, limit: int = MAX_FILE_BYTES) -> bytes | None:
    """The content of a file, or None if there is none.

    Args:
        path: the file.
        limit: how many bytes it may have.

    Raises:
        StateCorruptError: larger than that, or not a file.
        StateError: it cannot be read, others own it or may write to it, or the path cannot be one.
    """
    try:
        # before it is opened: a FIFO would be waited for
        _require_regular(path, path.stat())
        with path.open("rb") as file:
            _refuse_owner(path, os.fstat(file.fileno()), "file")
            data = file.read(limit + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(
            f"{path}: cannot be read: {error.strerror or error}", hint=_advice(error.errno, path), path=str(path)
        ) from error
    except ValueError as error:
        raise _no_path(path, error) from error
    if len(data) > limit:
        raise StateCorruptError(f"{path}: larger than {limit} bytes", path=str(path))
    return data


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = "a directory, not a file" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise StateCorruptError(f"{path}: is {what}", path=str(path))


def temporary_files(directory: Path) -> tuple[Path, ...]:
    """What interrupted writes left behind; only the holder of the lock can tell them from writes under way."""
    return tuple(sorted(directory.glob(f".*{_SUFFIX}")))
