"""The trust anchors that somebody configured for a device, until its first certificate brings the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.state import files, pem

if TYPE_CHECKING:
    from device_sdk.state.directory import StateDirectory


class ConfiguredAnchors:
    """The file configured.pem of a state directory, replaced in one step.

    What an enrolled device trusts is elsewhere (StateDirectory.anchors) and does not change with it: these count for its
    next enrolment.

    Args:
        directory: the state directory.
    """

    def __init__(self, directory: StateDirectory) -> None:
        self._directory = directory

    @property
    def file(self) -> Path:
        """Stable path of the file, PEM."""
        return self._directory.path / "configured.pem"

    def load(self) -> tuple[x509.Certificate, ...]:
        """The anchors; none if nobody configured any.

        Raises:
            StateCorruptError: they cannot be understood.
            StateError: somebody else may write to the directory, or it cannot be read.
        """
        files.refuse_strangers(self._directory.path)
        data = files.read(self.file)
        return () if data is None else pem.decode(data, self.file)

    def save(self, anchors: Sequence[x509.Certificate]) -> None:
        """Replace them; durable when this returns.

        Raises:
            StateBusyError, StateNotWritableError: what was there before is unchanged.
        """
        with self._directory.exclusive():
            files.write(self.file, pem.encode(anchors), files.PUBLIC)
