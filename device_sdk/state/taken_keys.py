"""Which packages of symmetric keys were stored, wherever they came from: nothing else tells an old one from a new one."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from device_sdk.errors import StateCorruptError
from device_sdk.state import files
from device_sdk.state.fields import Fields, dump, format_time
from device_sdk.state.single_file import SingleFile

MAX_TAKEN = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}")


class TakenKeys(SingleFile):
    """The file key-packages.json of a state directory; `StateDirectory.taken_keys`.

    A package has no number (RFC 6031), so one that is offered again after another would bring old keys back. Unlike the
    ledger of places this file may not be lost: one that cannot be read is an error, not an empty one.
    """

    NAME = "key-packages.json"

    def load(self) -> dict[str, datetime]:
        """When each was stored, by what identifies it, oldest first.

        Raises:
            StateCorruptError: the file cannot be understood.
            StateError: it cannot be read, or others may write there.
        """
        data = self._content()
        return {} if data is None else read_taken_keys(self.file, data)

    def note(self, identity: str, at: datetime) -> None:
        """A package was stored; beyond MAX_TAKEN the oldest is forgotten.

        Args:
            identity: of the package, as KeyPackage.identity.
            at: when.

        Raises:
            StateCorruptError, StateError: as `load`; nothing was changed.
            StateNotWritableError: nothing was changed.
        """
        with self._directory.exclusive():
            known = self.load()
            known.pop(identity, None)
            kept = [*known.items(), (identity, at)][-MAX_TAKEN:]
            files.write(self.file, dump({"stored": {name: format_time(when) for name, when in kept}}))


def read_taken_keys(path: Path, data: bytes) -> dict[str, datetime]:
    """What is in such a file.

    Args:
        path: its name, for errors.
        data: its content.

    Raises:
        StateCorruptError: it cannot be understood.
        StateError: a newer version wrote it.
    """
    content = Fields.parse(path, data).take("stored")
    stored = Fields(path, content, "stored")
    names = list(content) if isinstance(content, dict) else []
    if not all(_DIGEST.fullmatch(name) for name in names):
        raise StateCorruptError(
            f"{path}: cannot be understood: not digests",
            hint="restore it; without it old packages of keys are taken again",
            path=str(path),
        )
    return {name: stored.time(name) for name in names}
