"""The record of installed firmware bound to a counter in hardware, so that a copy from yesterday is worth nothing (F-10).

The file carries the counter's value, its generation, and a MAC over both by a key of the same hardware. It is written first,
with the generation one above, and then the counter counts: whatever a power cut leaves is the counter's generation, or the
next one, which is this file's as well. Everything else is refused: an older file, a changed one, one without generation where
the counter has begun, and a counter that is gone.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from device_sdk.errors import ConfigurationError, KeyStoreError, RolledBackError, StoreCorruptError
from device_sdk.model.counter import MonotonicCounter
from device_sdk.protocols.firmware import Binding, FirmwareRecord, authenticated

_HINT = (
    "restore the newest file; if it is lost, and old firmware may come back, have the TPM's owner remove the counter "
    "(tpm2_nvundefine), and remove the file"
)


class CounterBinding:
    """Checks and makes bindings.

    Args:
        counter: the counter.
        path: of the file, for messages.
    """

    def __init__(self, counter: MonotonicCounter, path: str) -> None:
        self._counter, self._path = counter, path

    def check(self, record: FirmwareRecord, binding: Binding | None) -> None:
        """Make sure that this is the newest record, and finish what a power cut ended.

        Raises:
            RolledBackError: it is not.
            KeyStoreError: the counter cannot be used.
        """
        now = self._counter.value()
        if binding is None:
            if now:
                raise self._refused(f"the record is missing, or has no generation, and the counter is at {now}")
            return
        if now is None:
            raise self._refused(f"it is of generation {binding.generation}, and the counter is gone")
        self._check_mac(record, binding)
        if now == 0 or now == binding.generation - 1:
            now = self._counter.advance(binding.generation)
        if now != binding.generation:
            raise self._refused(f"it is of generation {binding.generation}, and the counter is at {now}")

    def save(self, record: FirmwareRecord, binding: Binding | None, write: Callable[[Binding], None]) -> None:
        """Write a record that `check` found to be the newest, anew.

        Args:
            record: the new content.
            binding: of what is there, or None.
            write: replaces the file.

        Raises:
            StateNotWritableError: nothing was changed.
            KeyStoreError: the counter could not be used; the new record counts if it was written.
        """
        generation = self._counter.prepare() if binding is None else binding.generation + 1
        key = self._counter.new_key() if binding is None else binding.key
        while True:
            write(Binding(generation, key, self._counter.mac(key, authenticated(record, generation))))
            now = self._counter.advance(generation)
            if now == generation:
                return
            if now < generation or binding is not None:
                raise KeyStoreError(
                    f"{self._counter.uri}: the counter is at {now} and should be at {generation}: somebody else counts with it",
                    uri=self._counter.uri,
                )
            generation = now + 1  # this hardware began elsewhere

    def _check_mac(self, record: FirmwareRecord, binding: Binding) -> None:
        try:
            right = self._counter.mac(binding.key, authenticated(record, binding.generation))
        except StoreCorruptError as error:
            raise self._refused("its MAC is not one of this hardware") from error
        if not hmac.compare_digest(right, binding.mac):
            raise self._refused("somebody else changed it")

    def _refused(self, why: str) -> RolledBackError:
        return RolledBackError(f"{self._path}: {why} ({self._counter.uri})", hint=_HINT, path=self._path)


def require_unbound(binding: Binding | None, path: str) -> None:
    """Without a counter a record that has a generation is not used.

    Raises:
        ConfigurationError: it has one.
    """
    if binding is not None:
        raise ConfigurationError(
            f"{path} is bound to a counter in hardware",
            hint="name it (est firmware --counter URI, sync --firmware-counter URI or firmware.counter in the settings)",
        )
