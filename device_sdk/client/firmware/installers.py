"""What takes firmware that is known to be good: a file, or a program of the device's own (RAUC, SWUpdate, opkg, ...)."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from device_sdk.client.firmware.download import NO_ROOM, Room
from device_sdk.errors import ConfigurationError, DeviceSdkError, StateNotWritableError
from device_sdk.identity.kept_command import KeptCommand
from device_sdk.keystores.atomic import discard, sweep, sync_directory, temporary_name
from device_sdk.wire.firmware import FirmwareAttributes, LoadErrorCode, PreferredName, refused

_CHUNK_BYTES = 64 * 1024
INSTALLER_S = 1800.0
"""The most that a program takes for one word of an installation."""
_PREFIX = "device-sdk-firmware-"
WAITS_FOR_RESTART = "restart the device: what was installed last has to be running before more is installed"
_TRIES = 8


class Installer(Protocol):
    """Installs one package: `begin`, `write` ..., `stage`, `commit`; `rollback` after a failure anywhere.

    Every method may raise a DeviceSdkError: FirmwareError with the number for the server, or StateNotWritableError.
    """

    @property
    def place(self) -> str:
        """Where firmware goes: of what is installed, `is_active` is asked about what went to the same place."""

    def is_ready(self) -> bool:
        """Whether more can be installed now; asked before anything is fetched. No until a restart, where one is awaited."""

    def tidy(self) -> None:
        """Remove what an installation left that was killed, before there has to be room for the next package."""

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

    def undo(self) -> None:
        """A power cut came inside `commit`, and what was being installed is not active: what was there before is from now on."""


class FileInstaller:
    """Puts firmware into a file, which is replaced as a whole.

    Args:
        path: the file.
        mode: its permissions.
    """

    def __init__(self, path: str | os.PathLike[str], mode: int = 0o644) -> None:
        self._path, self._mode = Path(path), mode
        self._hint = "make some room, or name another file"
        self._temporary: Path | None = None
        self._descriptor: int | None = None

    @property
    def place(self) -> str:
        """See Installer."""
        return str(self._path.absolute())

    def is_ready(self) -> bool:
        """See Installer."""
        return True

    def tidy(self) -> None:
        """See Installer."""
        with suppress(OSError):  # what cannot be written says so in `begin`
            sweep(self._path)

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

    def undo(self) -> None:
        """See Installer: the file was there all the time."""

    @property
    def _open(self) -> int:
        if self._descriptor is None:
            raise refused(LoadErrorCode.OTHER_ERROR, "the installer was not begun")
        return self._descriptor

    def _failed(self, error: OSError) -> DeviceSdkError:
        words = f"{self._path}: cannot be written: {error.strerror or error}; this file is as it was before"
        return StateNotWritableError(words, hint=self._hint, path=str(self._path))


class CommandInstaller:
    """Hands firmware to a program: `PROGRAM ready`, `stage FILE`, `commit FILE`, `rollback FILE`, `active SHA256`.

    Exit code 0 is success. What `stage` or `commit` exit with otherwise goes to the server as the vendor's error code;
    75 (EX_TEMPFAIL) means that there is no room. `active` exits with 0 if the device runs firmware of that digest, and
    with 75 if it cannot say now. `ready`, which a program need not know, exits with 69 (EX_UNAVAILABLE) if nothing can be installed before the device restarts.
    `rollback` is also called after a power cut inside `commit`; FILE is gone then. FIRMWARE_PACKAGE and FIRMWARE_VERSION in the
    environment of `stage` and `commit` are what the signer calls the package; a legacy name has no version. With this process, or
    when its time is over, the program ends with all that it started, as by a power cut; what it left in the background when it
    ended by itself stays.

    Args:
        program: its path; it gets no shell and no standard input.
        directory: where the firmware waits, mode 0600; by default what TMPDIR says.
        limit_s: how long it takes at most, each time it is called.
    """

    def __init__(
        self,
        program: str | os.PathLike[str],
        directory: str | os.PathLike[str] | None = None,
        limit_s: float = INSTALLER_S,
    ) -> None:
        self._program = Path(program).absolute()
        self._directory, self._limit_s = directory, limit_s
        self._file: FileInstaller | None = None
        self._image: Path | None = None
        self._holder: _Holder | None = None
        self._staged = False
        self._named: dict[str, str] = {}

    @property
    def place(self) -> str:
        """See Installer."""
        return str(self._program)

    def is_ready(self) -> bool:
        """See Installer."""
        with suppress(DeviceSdkError):  # what cannot be run fails when there is something to tell the server about
            return self._exit("ready") != os.EX_UNAVAILABLE
        return True

    def tidy(self) -> None:
        """See Installer."""
        _sweep_holders(_parent(self._directory))

    def begin(self) -> None:
        """See Installer."""
        try:
            self._holder = _Holder(self._directory)
        except OSError as error:
            raise StateNotWritableError(f"no room for the firmware: {error.strerror or error}", hint=NO_ROOM) from error
        self._image = self._holder.path / "image"
        self._file = _Waiting(self._image, 0o600)
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
        self._named = _named(attributes)
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
        code = self._exit("active", sha256.hex())
        if code == os.EX_TEMPFAIL:
            raise refused(LoadErrorCode.OTHER_ERROR, f"{self._program} active cannot say now what the device uses")
        return code == 0

    def undo(self) -> None:
        """See Installer: `rollback` with the name of a file that is not there any more."""
        code = self._exit("rollback", str(_parent(self._directory) / "image"))
        if code != 0:
            raise refused(
                LoadErrorCode.OTHER_ERROR,
                f"{self._program} rollback ended with {code}: what a power cut left of an update may be half of it",
            )

    def _run(self, verb: str) -> None:
        code = self._exit(verb, str(self._image))
        if code == os.EX_TEMPFAIL:
            raise refused(LoadErrorCode.INSUFFICIENT_MEMORY, f"{self._program} {verb} says there is no room")
        if code != 0:
            error = refused(LoadErrorCode.OTHER_ERROR, f"{self._program} {verb} ended with {code}")
            error.vendor_error = code
            if code == os.EX_UNAVAILABLE:
                error.hint = WAITS_FOR_RESTART
            raise error

    def _exit(self, verb: str, *words: str) -> int:
        """What it ends with. It is ended with all that it started when its time is over, or this process is gone.

        So nothing goes on writing beside the `rollback` that follows, in this process or in the next one.
        """
        deadline = time.monotonic() + self._limit_s
        argv = [str(self._program), verb, *words]
        try:
            with KeptCommand(argv, silent=True, environment=os.environ | self._named) as command:
                return command.status(deadline)
        except ConfigurationError as error:
            why = getattr(error.__cause__, "strerror", None) or error.message
        except TimeoutError:
            why = f"it took longer than {self._limit_s:g} s, and was ended with all that it started"
        raise refused(LoadErrorCode.OTHER_ERROR, f"{self._program} {verb}: {why}")

    def _clean(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = self._image = None


def _named(attributes: FirmwareAttributes | None) -> dict[str, str]:
    """Empty rather than missing, so that nothing of this process's own environment is taken for it."""
    name = attributes.name if attributes else None
    if isinstance(name, PreferredName):
        return {"FIRMWARE_PACKAGE": name.oid, "FIRMWARE_VERSION": str(name.version)}
    return {"FIRMWARE_PACKAGE": str(name or ""), "FIRMWARE_VERSION": ""}


class _Waiting(FileInstaller):
    """An image before a program takes it."""

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(path, mode)
        self._hint = NO_ROOM
        self._room = Room(path.parent)

    def write(self, data: bytes, /) -> None:
        """See Installer."""
        self._room.take(len(data))
        super().write(data)


class _Holder:
    """A directory for one image, locked as long as it is used, so that the next one knows what a dead process left.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, parent: str | os.PathLike[str] | None) -> None:
        place = _parent(parent)
        _sweep_holders(place)
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


def _parent(directory: str | os.PathLike[str] | None) -> Path:
    return Path(directory or tempfile.gettempdir()).absolute()


def _sweep_holders(place: Path) -> None:
    for left in place.glob(f"{_PREFIX}*"):
        _sweep_holder(left)


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
