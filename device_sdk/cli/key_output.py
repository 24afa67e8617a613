"""Where a private key goes that came from elsewhere: a file nobody else can read, or a keystore; never to stdout (EST-202)."""

from __future__ import annotations

import re
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from device_sdk.cli.files import OutputFile, read_file, write_file
from device_sdk.cli.secrets import pin_provider
from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError, KeyExistsError, KeyNotFoundError, KeyStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from device_sdk.model.secret import Secret

RESCUE_NAME = "device-sdk-rescued-key.pem"
_URI = re.compile(r"(pkcs11|tpm2|file):", re.IGNORECASE)
_MODE = 0o600


class KeyOutput:
    """A place for one private key, looked at before the key is asked for. A context manager.

    A file is made for good when key and certificates are there, complete and with mode 0600; a name that is taken is refused. A keystore
    is opened, which asks for its PIN, and the name has to be free. Should the import fail afterwards all the same, the key
    goes to a rescue file, for which there is room already.

    Args:
        place: a file, or a key URI of a keystore that takes keys.
        rescue: where the key goes if the import fails; RESCUE_NAME in the working directory if None.
        settings: where the keystore's PIN is.

    Raises:
        ConfigurationError: the file, or the rescue file, cannot be made, or there is one.
        KeyExistsError: there is a key of that name.
        UriError, KeyStoreError: the keystore cannot be used.
    """

    def __init__(self, place: str, rescue: str | None, settings: Settings) -> None:
        self._uri = place if _URI.match(place) else None
        self._settings = settings
        self._path = self.file_of(place, rescue)
        if self._uri is None and rescue is not None:
            raise ConfigurationError("--rescue is for keys that go to a keystore", hint="leave it out")
        _require_free(self._path, rescued=self._uri is not None)
        if self._uri is not None:
            self._require_room(self._uri)
        self._file = OutputFile(self._path, mode=_MODE, replace=False)

    @staticmethod
    def file_of(place: str, rescue: str | None) -> str:
        """The file that belongs to a place: itself, or the rescue file."""
        return (rescue or RESCUE_NAME) if _URI.match(place) else place

    @staticmethod
    def stored(
        place: str, chain: Sequence[x509.Certificate], certificates: bytes, settings: Settings
    ) -> dict[str, str] | None:
        """Where the key of a certificate is, as `store` says it; None if there is none, or another one.

        Args:
            place: as above.
            chain: the certificate first.
            certificates: the same as it was given to `store`.
            settings: where the keystore's PIN is.

        Raises:
            ConfigurationError: the file cannot be read.
            UriError, KeyStoreError: the keystore cannot be used.
        """
        if not _URI.match(place):
            there = Path(place).is_file() and read_file(place).endswith(certificates)
            return {"key_file": place} if there else None
        from device_sdk.keystores import registry

        try:
            opened: Any = registry.open_key(place, pin=pin_provider(settings), allow_imported=True)
        except KeyNotFoundError:
            return None
        with opened as key:
            return {"key_uri": key.info.uri} if key.public_key() == chain[0].public_key() else None

    def store(self, private_key: Secret, certificates: bytes) -> dict[str, str]:
        """Put the key there; says where it is, for the result.

        A file gets the certificates as well, behind the key: what comes with one answer is stored in one step, and a power
        cut leaves both or neither.

        Args:
            private_key: DER PrivateKeyInfo.
            certificates: the chain, PEM.

        Raises:
            KeyStoreError: the import failed; the hint says where the key is.
            ConfigurationError: the file could not be written, or somebody made one of that name meanwhile; the hint says
                where the key is then.
        """
        if self._uri is None:
            self._write_file(_pem(private_key) + certificates)
            return {"key_file": self._path}
        from device_sdk.keystores import registry

        try:
            with registry.import_key(self._uri, private_key, pin=pin_provider(self._settings)) as key:
                return {"key_uri": key.info.uri}
        except KeyStoreError as error:
            self._write_file(_pem(private_key) + certificates)
            error.hint = f"the key is in {self._path}; `device-sdk keys import` can try again, then delete that file"
            raise

    def _write_file(self, content: bytes) -> None:
        try:
            self._file.write(content)
        except ConfigurationError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
            rescue = f"{self._path}.{token_hex(4)}"
            write_file(rescue, content, mode=_MODE, replace=False)
            raise ConfigurationError(
                _taken(self._path), hint=f"somebody made it while the server was asked; the key is in {rescue}"
            ) from error

    def _require_room(self, uri: str) -> None:
        """The keystore answers, its PIN is right, the name is free, and there is a place for the certificate."""
        from device_sdk.keystores import registry

        if found := registry.list_keys(uri, pin=pin_provider(self._settings)):
            raise KeyExistsError(f"{found[0].uri}: there is a key of this name already", uri=found[0].uri)
        registry.require_certificate_place(uri)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._file.__exit__(kind, exc, tb)


def _require_free(path: str, *, rescued: bool) -> None:
    """A private key replaces nothing, least of all another one; and devices, stdout among them, are no place for it."""
    if Path(path).is_symlink() or Path(path).exists():
        hint = "move it away, or name another file by --rescue" if rescued else "name a file that is not there yet"
        raise ConfigurationError(_taken(path), hint=hint)


def _taken(path: str) -> str:
    return f"{path} is there already, and a private key replaces nothing"


def _pem(private_key: Secret) -> bytes:
    import base64

    text = base64.encodebytes(private_key.reveal()).replace(b"\n", b"")
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    return b"-----BEGIN PRIVATE KEY-----\n" + lines + b"-----END PRIVATE KEY-----\n"
