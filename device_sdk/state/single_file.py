"""What is one file of a state directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from device_sdk.state import files

if TYPE_CHECKING:
    from device_sdk.state.directory import StateDirectory


class SingleFile:
    """One file of a state directory, replaced in one step.

    Args:
        directory: the state directory.

    Attributes:
        NAME: of the file.
    """

    NAME: ClassVar[str]

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory

    @property
    def file(self) -> Path:
        """Where it is; that does not change."""
        return self._directory.path / self.NAME

    def _content(self) -> bytes | None:
        """What is in it, if nobody else can have written that; None if there is none. Raises StateError."""
        files.refuse_strangers(self._directory.path)
        return files.read(self.file)
