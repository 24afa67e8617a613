"""A generated key and its certificate on their way to two places: a power cut between the two costs neither (EST-202)."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.key_output import KeyOutput
from device_sdk.cli.output import Output
from device_sdk.cli.pem import certificates_from
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError

_ENDING = ".unfinished"


class HalfDone:
    """The certificates, in a file beside their destination while the key is stored.

    The file is there before the key is, and goes when the certificates have arrived. Whoever finds it finds out by the key
    whether that was stored, too: the command is finished without asking the server for another one. The key itself is never
    in it. As a context manager it sees to it that there is room for the file before the server is asked.

    Args:
        place: where the key goes, a file or a key URI.
        rescue: see KeyOutput.
        destination: where the certificates go.

    Raises:
        ConfigurationError: on entering: the file cannot be made.
    """

    def __init__(self, place: str, rescue: str | None, destination: OutputFile) -> None:
        beside = destination.path if destination.is_regular else None
        self._path = (beside or KeyOutput.file_of(place, rescue)) + _ENDING
        self._place = place
        self._head = f"certificates for the key {place}\n".encode()
        self._file = OutputFile(None)

    def resume(self, settings: Settings) -> tuple[bytes, dict[str, str]] | None:
        """What an earlier run left: the certificates, PEM, and where the key is; None if there is nothing, or no key.

        Raises:
            ConfigurationError: the file is that of another command, or another user's.
            KeyStoreError: the keystore cannot be used.
        """
        if not os.path.lexists(self._path):
            return None
        status = os.lstat(self._path)
        content = read_file(self._path) if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() else b""
        if not content.startswith(self._head):
            raise ConfigurationError(
                f"{self._path} is not of this command",
                hint="it has the certificates of one that was interrupted: run that one again, or delete the file",
            )
        pem = content.removeprefix(self._head)
        where = KeyOutput.stored(self._place, certificates_from(pem, self._path), pem, settings)
        return None if where is None else (pem, where)

    def begin(self, certificates: bytes, out: Output) -> None:
        """The key is about to be stored. A disk that fails here does not keep it from that."""
        try:
            self._file.write(self._head + certificates)
        except ConfigurationError as error:
            out.say(f"note: {error.message}")

    def end(self) -> None:
        """The certificates have arrived."""
        with suppress(OSError):
            Path(self._path).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._file = OutputFile(self._path)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._file.__exit__(kind, exc, tb)
