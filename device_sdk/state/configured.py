"""The trust anchors that somebody configured for a device, until its first certificate brings the server's own."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from device_sdk.state import files, pem
from device_sdk.state.single_file import SingleFile


class ConfiguredAnchors(SingleFile):
    """The file configured.pem of a state directory, PEM.

    What an enrolled device trusts is elsewhere (StateDirectory.anchors) and does not change with it: these count for its
    next enrolment.
    """

    NAME = "configured.pem"

    def load(self) -> tuple[x509.Certificate, ...]:
        """The anchors; none if nobody configured any.

        Raises:
            StateCorruptError: they cannot be understood.
            StateError: somebody else may write to the directory, or it cannot be read.
        """
        data = self._content()
        return () if data is None else pem.decode(data, self.file)

    def save(self, anchors: Sequence[x509.Certificate]) -> None:
        """Replace them; durable when this returns.

        Raises:
            StateBusyError, StateNotWritableError: what was there before is unchanged.
        """
        with self._directory.exclusive():
            files.write(self.file, pem.encode(anchors), files.PUBLIC)
