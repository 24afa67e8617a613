"""Where the ciphertext of a large message waits until it is known to be good."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import Self

from device_sdk.errors import StateNotWritableError

_HINT = "make room there, or name another directory: TMPDIR"


class PrivateSpool:
    """A temporary file without a name, readable and writable by its owner only (mode 0600); gone when it is closed.

    What `device_sdk.wire.cms.open_stream` puts there is ciphertext as it came over the network, never plaintext.

    Args:
        directory: where; by default what TMPDIR says. It needs as much room as the message.
        hint: what to do where there is no room.

    Raises:
        StateNotWritableError: there is no room, or no such directory; `write` and `read` raise it as well.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None, hint: str = _HINT) -> None:
        self._hint = hint
        try:
            self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115  # closed by close
        except OSError as error:
            where = os.fspath(directory) if directory is not None else "the directory for temporary files"
            raise StateNotWritableError(f"{where}: {error.strerror or error}", hint=hint) from error

    def write(self, data: bytes, /) -> None:
        """Append all of it."""
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def seek(self, offset: int, /) -> None:
        """Go to a place, counted from the start."""
        try:
            self._file.seek(offset)
        except OSError as error:
            raise self._failed(error) from error

    def read(self, size: int, /) -> bytes:
        """At most this many bytes; none at the end."""
        try:
            return self._file.read(size)
        except OSError as error:
            raise self._failed(error) from error

    def fileno(self) -> int:
        """Its descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Give the room back."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> StateNotWritableError:
        words = f"the temporary file of a large message: {error.strerror or error}"
        return StateNotWritableError(words, hint=self._hint)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
