"""The record of installed firmware in a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_sdk.errors import StateCorruptError, WireError
from device_sdk.protocols.firmware import FirmwareRecord, encode_record, read_record
from device_sdk.state import files
from device_sdk.state.lock import DirectoryLock

_WAIT_S = 10.0


class RecordFile:
    """Installed packages and stale versions; replaced in one step, changed by one process at a time.

    It is as strong as the disk: whoever may write to it, or restores an old copy, can bring stale firmware back.

    Args:
        path: the file; none is an empty record. Beside it is a lock file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = DirectoryLock(self._path.with_name(f".{self._path.name}.lock"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else changes it meanwhile.

        Raises:
            StateBusyError: somebody else does.
            StateNotWritableError: the lock file cannot be made.
        """
        with self._lock.hold(_WAIT_S):
            yield

    def load(self) -> FirmwareRecord:
        """What is there.

        Raises:
            StateCorruptError: something else is there; it is not overwritten.
            StateError: it cannot be read.
        """
        content = files.read(self._path)
        if content is None:
            return FirmwareRecord()
        try:
            return read_record(content)
        except WireError as error:
            raise StateCorruptError(
                f"{self._path}: {error.message}",
                hint="restore it; without it, old firmware could come back",
                path=str(self._path),
            ) from error

    def save(self, record: FirmwareRecord) -> None:
        """Replace it.

        Raises:
            StateNotWritableError: nothing was changed.
        """
        files.write(self._path, encode_record(record))
