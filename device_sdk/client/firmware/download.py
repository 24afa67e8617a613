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
"""What is left free on the disk."""


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
        self._transferred = transferred
        self._spool = PrivateSpool(self._directory)
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
            self._spool = PrivateSpool(self._directory)
        self._size, self._length = 0, length
        if length is not None:
            require_room(self._directory, length)

    def write(self, data: bytes, /) -> None:
        """See BodySink."""
        self._spool.write(data)
        self._size += len(data)
        if self._transferred:
            self._transferred(self._size, self._length)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._spool.close()


def require_room(directory: Path, size: int) -> None:
    """Make sure that the disk has room for so many bytes.

    Raises:
        StateNotWritableError: it has not.
    """
    try:
        status = os.statvfs(directory)
    except OSError as error:
        raise StateNotWritableError(f"{directory}: {error.strerror or error}", path=str(directory)) from error
    free = status.f_bavail * status.f_frsize
    if free < size + SPARE_BYTES:
        raise StateNotWritableError(
            f"{directory}: {size} bytes are to come, and {free} are free", hint="make some room", path=str(directory)
        )
