"""Where a package waits, as it came over the network, until it is known to be good."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

from device_sdk.client.cale.spool import PrivateSpool
from device_sdk.errors import StateNotWritableError

Transferred: TypeAlias = Callable[[int, int | None], None]
"""Told how many bytes have come, and how many there will be if that is known."""

_CHUNK_BYTES = 256 * 1024
SPARE_BYTES = 1024 * 1024
"""What is left free on the disk, for everything else that the device has to write meanwhile."""
NO_ROOM = "make some room, or name another place (est firmware --directory, firmware.directory)"
_LOOK_BYTES = 1024 * 1024


class Download:
    """A file without a name that a response is written to; a new attempt begins it anew.

    Args:
        directory: where.
        transferred: told how far it is.

    Raises:
        StateNotWritableError: no such directory, or no room, here and in `start` and `write`.
    """

    def __init__(self, directory: str | os.PathLike[str], transferred: Transferred | None = None) -> None:
        self._directory = Path(directory)
        self._room = Room(self._directory)
        self._transferred = transferred
        self._spool = self._new()
        self._size = 0
        self._length: int | None = None

    @property
    def file(self) -> PrivateSpool:
        """What came."""
        return self._spool

    def sha256(self) -> bytes:
        """Of all that came.

        Raises:
            StateNotWritableError: it cannot be read again.
        """
        hasher = hashlib.sha256()
        self._spool.seek(0)
        while piece := self._spool.read(_CHUNK_BYTES):
            hasher.update(piece)
        self._spool.seek(0)
        return hasher.digest()

    def start(self, length: int | None, /) -> None:
        """See BodySink."""
        if self._size:
            self._spool.close()
            self._spool = self._new()
        self._size, self._length = 0, length
        if length is not None:
            require_room(self._directory, length)

    def write(self, data: bytes, /) -> None:
        """See BodySink. Not every answer says how long it is."""
        self._room.take(len(data))
        self._spool.write(data)
        self._size += len(data)
        if self._transferred:
            self._transferred(self._size, self._length)

    def _new(self) -> PrivateSpool:
        return PrivateSpool(self._directory, NO_ROOM)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._spool.close()


class Room:
    """Looks at the disk every now and then while something is written that nobody knows the length of.

    Args:
        directory: where it is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._left = 0

    def take(self, size: int) -> None:
        """So many bytes are about to be written.

        Raises:
            StateNotWritableError: SPARE_BYTES would not be left.
        """
        if size > self._left:
            require_room(self._directory, size)
            self._left = size + min(_free(self._directory) - size - SPARE_BYTES, _LOOK_BYTES)
        self._left -= size


def require_room(directory: Path, size: int) -> None:
    """Make sure that the disk has room for so many bytes.

    Raises:
        StateNotWritableError: it has not.
    """
    free = _free(directory)
    if free < size + SPARE_BYTES:
        raise StateNotWritableError(
            f"{directory}: {size} bytes are to come, and {free} are free, of which {SPARE_BYTES} stay so",
            hint=NO_ROOM,
            path=str(directory),
        )


def _free(directory: Path) -> int:
    try:
        status = os.statvfs(directory)
    except OSError as error:
        raise StateNotWritableError(f"{directory}: {error.strerror or error}", path=str(directory)) from error
    return status.f_bavail * status.f_frsize
