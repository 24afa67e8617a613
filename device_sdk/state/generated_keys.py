"""Which keys of the server's making a device has, and where their certificates are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.state import files
from device_sdk.state.fields import Fields, dump, format_time
from device_sdk.state.single_file import SingleFile

if TYPE_CHECKING:
    from device_sdk.state.directory import StateDirectory

FOLDER = "generated"
MAX_GENERATED = 16
"""A server that offers keys without end fills no token."""


@dataclass(frozen=True)
class GeneratedRecord:
    """One key.

    Attributes:
        number: of the state directory inside the device's that has the certificate, and its renewals.
        key_uri: opens the key; never holds a PIN.
        certificate_file: where other software finds the certificate and its chain, PEM.
        at: when it was stored.
    """

    number: int
    key_uri: str
    certificate_file: Path
    at: datetime


class GeneratedRecords(SingleFile):
    """The file generated.json of a state directory; `StateDirectory.generated`."""

    NAME = "generated.json"

    def load(self) -> tuple[GeneratedRecord, ...]:
        """All of them, oldest first.

        Raises:
            StateCorruptError: the file cannot be understood.
            StateError: it cannot be read, or others may write there.
        """
        return self._read()[0]

    def pending(self) -> dict[str, str]:
        """By place: what a CA that was asked for a key by Full CMC has not decided; see PendingRequest. Raises as `load`."""
        return self._read()[1]

    def save(self, records: tuple[GeneratedRecord, ...]) -> None:
        """Have these from now on; StateNotWritableError: nothing was changed; else raises as `load`."""
        with self._directory.exclusive():
            self._write(records, self.pending())

    def keep_pending(self, place: str, request: str | None) -> None:
        """Keep what is not decided at a place, or None when it is; raises as `save`."""
        with self._directory.exclusive():
            records, pending = self._read()
            others = {name: text for name, text in pending.items() if name != place}
            if request is not None:
                others[place] = request
            if others != pending:
                self._write(records, dict([*others.items()][-MAX_GENERATED:]))

    def holder(self, number: int) -> StateDirectory:
        """The state directory of one key."""
        path = self._directory.path / FOLDER / str(number)
        return type(self._directory)(path, anchored=False)

    def _read(self) -> tuple[tuple[GeneratedRecord, ...], dict[str, str]]:
        data = self._content()
        return ((), {}) if data is None else read_generated(self.file, data)

    def _write(self, records: tuple[GeneratedRecord, ...], pending: dict[str, str]) -> None:
        keys = [
            vars(one) | {"certificate_file": str(one.certificate_file), "at": format_time(one.at)} for one in records
        ]
        files.write(self.file, dump({"keys": keys, "pending": pending}))


def read_generated(path: Path, data: bytes) -> tuple[tuple[GeneratedRecord, ...], dict[str, str]]:
    """What is in such a file.

    Args:
        path: its name, for errors.
        data: its content.

    Raises:
        StateCorruptError: it cannot be understood.
        StateError: a newer version wrote it.
    """
    fields = Fields.parse(path, data)
    records = tuple(
        GeneratedRecord(
            one.number("number"), one.key_uri("key_uri"), Path(one.text("certificate_file")), one.time("at")
        )
        for one in fields.objects("keys")
    )
    content = fields.take("pending") or {}
    waiting = Fields(path, content, "pending")
    return records, {name: waiting.text(name) for name in content} if isinstance(content, dict) else {}
