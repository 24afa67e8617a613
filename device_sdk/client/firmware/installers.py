"""What takes firmware that is known to be good: a file, or a program of the device's own (RAUC, SWUpdate, opkg, ...)."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from device_sdk.errors import DeviceSdkError, StateNotWritableError
from device_sdk.keystores.atomic import discard, sweep, sync_directory, temporary_name
from device_sdk.wire.firmware import FirmwareAttributes, LoadErrorCode, refused

_CHUNK_BYTES = 64 * 1024
_TIMEOUT_S = 1800.0
_PREFIX = "device-sdk-firmware-"
_TRIES = 8


class Installer(Protocol):
    """Installs one package: `begin`, `write` ..., `stage`, `commit`; `rollback` after a failure anywhere.

    Every method may raise a DeviceSdkError: FirmwareError with the number for the server, or StateNotWritableError.
    """

    def begin(self) -> None:
        """Firmware is about to come."""

    def write(self, data: bytes, /) -> object:
        """The next piece; not known to be complete yet."""

    def stage(self, attributes: FirmwareAttributes | None) -> None:
        """All of it is there and good; whatever can fail has to fail now."""

    def commit(self) -> None:
        """From now on the device uses it; in one step."""

    def rollback(self) -> None:
        """The device goes on with what it had. Does not raise."""

    def is_active(self, sha256: bytes) -> bool:
        """Whether the device uses firmware of this digest; asked after a power cut."""


class FileInstaller:
    """Puts firmware into a file, which is replaced as a whole.

    Args:
        path: the file.
        mode: its permissions.
    """

    def __init__(self, path: str | os.PathLike[str], mode: int = 0o644) -> None:
        self._path, self._mode = Path(path), mode
        self._temporary: Path | None = None
        self._descriptor: int | None = None

    def begin(self) -> None:
        """See Installer."""
        try:
            with suppress(PermissionError):
                sweep(self._path)
            temporary = temporary_name(self._path)
            self._descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._temporary = temporary
        except OSError as error:
            raise self._failed(error) from error

    def write(self, data: bytes, /) -> None:
        """See Installer."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._open, view) :]
        except OSError as error:
            raise self._failed(error) from error

    def stage(self, attributes: FirmwareAttributes | None) -> None:
        """See Installer."""
        del attributes
        try:
            os.fchmod(self._open, self._mode)
            os.fsync(self._open)
        except OSError as error:
            raise self._failed(error) from error

    def commit(self) -> None:
        """See Installer."""
        if self._temporary is None:  # not reached: `begin` came first
            return
        try:
            self._temporary.replace(self._path)
            self._temporary = None
            sync_directory(self._path.parent)
        except OSError as error:
            raise self._failed(error) from error
        finally:
            self.rollback()

    def rollback(self) -> None:
        """See Installer."""
        discard(self._descriptor, self._temporary)
        self._descriptor = self._temporary = None

    def is_active(self, sha256: bytes) -> bool:
        """See Installer."""
        hasher = hashlib.sha256()
        try:
            with self._path.open("rb") as file:
                while piece := file.read(_CHUNK_BYTES):
                    hasher.update(piece)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._failed(error) from error
        return hasher.digest() == sha256

    @property
    def _open(self) -> int:
        if self._descriptor is None:
            raise refused(LoadErrorCode.OTHER_ERROR, "the installer was not begun")
        return self._descriptor

    def _failed(self, error: OSError) -> DeviceSdkError:
        words = f"{self._path}: cannot be written: {error.strerror or error}; what was there before is unchanged"
        return StateNotWritableError(words, hint="make some room, or name another file", path=str(self._path))


class CommandInstaller:
    """Hands firmware to a program: `PROGRAM stage FILE`, `commit FILE`, `rollback FILE`, `active SHA256`.

    Exit code 0 is success. What `stage` or `commit` exit with otherwise goes to the server as the vendor's error code;
    75 (EX_TEMPFAIL) means that there is no room. `active` exits with 0 if the device runs firmware of that digest.

    Args:
        program: its path; it gets no shell and no standard input.
        directory: where the firmware waits, mode 0600; by default what TMPDIR says.
    """

    def __init__(self, program: str | os.PathLike[str], directory: str | os.PathLike[str] | None = None) -> None:
        self._program = Path(program).absolute()
        self._directory = directory
        self._file: FileInstaller | None = None
        self._image: Path | None = None
        self._holder: _Holder | None = None
        self._staged = False

    def begin(self) -> None:
        """See Installer."""
        try:
            self._holder = _Holder(self._directory)
        except OSError as error:
            raise StateNotWritableError(f"no room for the firmware: {error.strerror or error}") from error
        self._image = self._holder.path / "image"
        self._file = FileInstaller(self._image, 0o600)
        self._file.begin()

    def write(self, data: bytes, /) -> None:
        """See Installer."""
        if self._file is not None:
            self._file.write(data)

    def stage(self, attributes: FirmwareAttributes | None) -> None:
        """See Installer."""
        if self._file is not None:
            self._file.stage(attributes)
            self._file.commit()
        self._staged = True
        self._run("stage")

    def commit(self) -> None:
        """See Installer."""
        self._run("commit")
        self._staged = False
        self._clean()

    def rollback(self) -> None:
        """See Installer."""
        if self._staged:
            self._staged = False
            with suppress(DeviceSdkError):
                self._run("rollback")
        if self._file is not None:
            self._file.rollback()
        self._clean()

    def is_active(self, sha256: bytes) -> bool:
        """See Installer."""
        return self._exit("active", sha256.hex()) == 0

    def _run(self, verb: str) -> None:
        code = self._exit(verb, str(self._image))
        if code == os.EX_TEMPFAIL:
            raise refused(LoadErrorCode.INSUFFICIENT_MEMORY, f"{self._program} {verb} says there is no room")
        if code != 0:
            error = refused(LoadErrorCode.OTHER_ERROR, f"{self._program} {verb} ended with {code}")
            error.vendor_error = code
            raise error

    def _exit(self, verb: str, word: str) -> int:
        try:
            done = subprocess.run(
                [str(self._program), verb, word], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=_TIMEOUT_S, check=False
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            why = getattr(error, "strerror", None) or "it takes too long"
            raise refused(LoadErrorCode.OTHER_ERROR, f"{self._program} {verb}: {why}") from error
        return done.returncode

    def _clean(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = self._image = None


class _Holder:
    """A directory for one image, locked as long as it is used, so that the next one knows what a dead process left.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, parent: str | os.PathLike[str] | None) -> None:
        place = Path(parent or tempfile.gettempdir())
        for left in place.glob(f"{_PREFIX}*"):
            _sweep_holder(left)
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            try:
                self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:  # swept
                continue
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._is_there():
                return
            os.close(self._descriptor)
        raise FileNotFoundError(errno.ENOENT, "others remove directories that were just made", str(place))

    def _is_there(self) -> bool:
        """Whether the name still leads to what is locked: another run may have swept it, and somebody else taken the name."""
        held = os.fstat(self._descriptor)
        with suppress(OSError):
            return held.st_uid == os.geteuid() and os.path.samestat(held, self.path.lstat())
        return False

    def close(self) -> None:
        """Remove it."""
        with suppress(OSError):
            shutil.rmtree(self.path)
        os.close(self._descriptor)


def _sweep_holder(path: Path) -> None:
    """Remove a directory of ours that nobody holds any more."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_uid == os.geteuid():
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
        finally:
            os.close(descriptor)
