"""The record of installed firmware in a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from device_sdk.client.firmware.bound_record import CounterBinding, require_unbound
from device_sdk.errors import StateCorruptError, WireError
from device_sdk.model.counter import MonotonicCounter
from device_sdk.protocols.firmware import Binding, FirmwareRecord, encode_record, read_binding, read_record
from device_sdk.state import files
from device_sdk.state.lock import DirectoryLock

_WAIT_S = 10.0


class RecordFile:
    """Installed packages and stale versions; replaced in one step, changed by one process at a time.

    Without a counter it is as strong as the disk: whoever may write to it, or restores an old copy, can bring stale firmware
    back. With one an old or changed copy is refused; see bound_record.

    Args:
        path: the file; none is an empty record. Beside it is a lock file.
        counter: what it is bound to, from the first time it is written with one.
    """

    def __init__(self, path: str | os.PathLike[str], counter: MonotonicCounter | None = None) -> None:
        self._path = Path(path)
        self._binding = CounterBinding(counter, str(self._path)) if counter else None
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

    @property
    def is_pending(self) -> bool:
        """Whether a power cut ended an installation; raises as `load`, but for the counter, which is not looked at."""
        return self._read()[0].pending is not None

    def load(self) -> FirmwareRecord:
        """What is there; with a counter inside `held`, as it finishes what a power cut ended.

        Raises:
            StateCorruptError: something else is there; it is not overwritten.
            RolledBackError: it is older than the counter, or was changed.
            ConfigurationError: it is bound to a counter, and none was named.
            StateError: it cannot be read.
            KeyStoreError: the counter cannot be used.
        """
        record, bound = self._read()
        if self._binding is not None:
            self._binding.check(record, bound)
        else:
            require_unbound(bound, str(self._path))
        return record

    def save(self, record: FirmwareRecord) -> None:
        """Replace it, after `load`.

        Raises:
            StateNotWritableError: nothing was changed.
            KeyStoreError: the counter cannot be used.
        """
        if self._binding is None:
            files.write(self._path, encode_record(record))
            return
        _, bound = self._read()
        self._binding.save(record, bound, lambda new: files.write(self._path, encode_record(record, new)))

    def _read(self) -> tuple[FirmwareRecord, Binding | None]:
        content = files.read(self._path)
        if content is None:
            return FirmwareRecord(), None
        try:
            return read_record(content), read_binding(content)
        except WireError as error:
            raise StateCorruptError(
                f"{self._path}: {error.message}",
                hint="restore it; without it, old firmware could come back",
                path=str(self._path),
            ) from error
