"""What a sync had done when it was interrupted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Self

from device_sdk.state.fields import Fields, dump, format_time


@dataclass(frozen=True)
class SyncJournal:
    """Content of sync.json. It may be lost: then everything is fetched again.

    Attributes:
        since: when the sync began.
        certificate: SHA-256 of the certificate that was in use then, hex: if there is another one, it was renewed since.
        steps: what the server's list asked for, a digest each.
        done: those of them whose result is kept.
    """

    since: datetime
    certificate: str
    steps: tuple[str, ...]
    done: tuple[str, ...] = ()

    def having(self, step: str) -> Self:
        """The same with one step more that is done."""
        return replace(self, done=(*self.done, step))

    def to_bytes(self) -> bytes:
        """The file."""
        return dump(vars(self) | {"since": format_time(self.since)})

    @classmethod
    def from_bytes(cls, path: Path, data: bytes) -> SyncJournal:
        """Read the file.

        Raises:
            StateCorruptError: it cannot be understood.
            StateError: a newer version wrote it.
        """
        fields = Fields.parse(path, data)
        return cls(
            since=fields.time("since"),
            certificate=fields.digest("certificate"),
            steps=fields.optional_texts("steps") or (),
            done=fields.optional_texts("done") or (),
        )
