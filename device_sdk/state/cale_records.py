"""CALE registrations in a state directory, a file for each application."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeVar

from device_sdk.errors import ConfigurationError, StateError
from device_sdk.state import files
from device_sdk.state.cale_damage import advising, damage
from device_sdk.state.cale_journal import CaleJournal
from device_sdk.state.records import CaleRegistration

T = TypeVar("T")

_CALE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class CaleRecords(ABC):
    """What a StateDirectory has of them: cale/NAME.json, and cale/under-way/NAME.json while one is changed."""

    @property
    @abstractmethod
    def path(self) -> Path:
        """The directory."""

    @abstractmethod
    def exclusive(self, wait_s: float = 0.0) -> AbstractContextManager[None]:
        """See StateDirectory.exclusive."""

    @abstractmethod
    def _read(self, path: Path) -> bytes | None: ...

    def cale_registration(self, name: str) -> CaleRegistration | None:
        """The CALE registration of that name, or None; raises as `load`."""
        path = self._cale_path(name)
        with advising(name):
            data = self._read(path)
            return None if data is None else CaleRegistration.from_bytes(path, data)

    def cale_registrations(self) -> dict[str, CaleRegistration]:
        """All CALE registrations that can be read, by name; for the others see `cale_damage`.

        Raises:
            StateError: somebody else may write to the directory, or it cannot be read.
        """
        return self._readable(self.cale_registration, self._cale_names("cale"))

    def cale_damage(self) -> dict[str, tuple[StateError, ...]]:
        """By name of the application why its files cannot be read; empty when all is well. Raises as `cale_registrations`."""
        names = sorted({*self._cale_names("cale"), *self._cale_names("cale/under-way")})
        found = {name: tuple(damage(name, (self.cale_registration, self.cale_journal))) for name in names}
        return {name: errors for name, errors in found.items() if errors}

    def save_cale_registration(self, name: str, registration: CaleRegistration) -> None:
        """Keep a CALE registration, replacing one of that name.

        Raises:
            ConfigurationError: a name with other characters than letters, digits, ".", "_" and "-".
            StateNotWritableError: what was there before is unchanged.
        """
        path = self._cale_path(name)
        with self.exclusive():
            files.make_directory(path.parent)
            files.write(path, registration.to_bytes())

    def delete_cale_registration(self, name: str) -> None:
        """Forget a CALE registration; nothing happens if there is none. Raises as `save_cale_registration`."""
        path = self._cale_path(name)
        with self.exclusive():
            files.remove(path)

    def cale_journal(self, name: str) -> CaleJournal | None:
        """What is under way for the CALE registration of that name, or None; raises as `load`."""
        path = self._under_way(name)
        with advising(name):
            data = self._read(path)
            return None if data is None else CaleJournal.from_bytes(path, data)

    def cale_journals(self) -> dict[str, CaleJournal]:
        """All that is under way for CALE registrations and can be read, by name; as `cale_registrations`."""
        return self._readable(self.cale_journal, self._cale_names("cale/under-way"))

    def drop_cale_journal(self, name: str) -> None:
        """Say that what was under way for that registration is finished or undone; raises as `save`."""
        path = self._under_way(name)
        with self.exclusive():
            files.remove(path)

    def _cale_path(self, name: str) -> Path:
        if not _CALE_NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} cannot name a CALE registration",
                hint="up to 64 letters, digits, '.', '_' and '-', not starting with '.' or '-'",
            )
        return self.path / "cale" / f"{name}.json"

    def _cale_names(self, folder: str) -> list[str]:
        """The applications that have a file there."""
        files.refuse_strangers(self.path)
        files.refuse_strangers(self.path / folder)
        names = sorted(path.stem for path in (self.path / folder).glob("[!.]*.json"))
        return [name for name in names if _CALE_NAME.fullmatch(name)]

    def _readable(self, read: Callable[[str], T | None], names: list[str]) -> dict[str, T]:
        found: dict[str, T] = {}
        for name in names:
            with suppress(StateError):
                kept = read(name)
                if kept is not None:
                    found[name] = kept
        return found

    def _under_way(self, name: str) -> Path:
        path = self._cale_path(name)
        return path.parent / "under-way" / path.name
