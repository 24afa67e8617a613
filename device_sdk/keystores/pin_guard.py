"""A wrong PIN is tried once: a marker on disk keeps a restart loop from locking a token with it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from pathlib import Path

from device_sdk.errors import KeyStoreError, PinRefusedError
from device_sdk.keystores.atomic import is_directory
from device_sdk.model.secret import Secret

DIRECTORY_VARIABLE = "DEVICE_SDK_REFUSED_PINS"
_SYSTEM_DIRECTORY = Path("/var/lib/device-sdk/refused-pins")
_REMEMBERED = 8
_MAX_MARKER_BYTES = 8192


class PinGuard:
    """Remembers which PINs a token or TPM has refused, as salted scrypt digests, never the PINs.

    Args:
        directory: where the markers are kept; by default $DEVICE_SDK_REFUSED_PINS, else /var/lib/device-sdk/refused-pins
            if that can be written, else refused-pins below $XDG_STATE_HOME/device-sdk. Where nothing can be written
            the guard works for the life of the process only.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory

    @property
    def directory(self) -> Path:
        """Where the markers are."""
        return self._directory or _default_directory()

    def check(self, identity: str, pin: Secret, uri: str) -> None:
        """Refuse a PIN that this token has refused before.

        Args:
            identity: names the token for good: its make and serial number.
            pin: the PIN about to be tried.
            uri: redacted URI for the message.

        Raises:
            PinRefusedError: it was wrong before; the message says how to have it tried again.
        """
        marker = self._read(identity)
        if marker is None:
            return
        digest = _digest(pin, marker[0])
        if any(hmac.compare_digest(digest, known) for known in marker[1]):
            raise PinRefusedError(
                f"{uri}: the token refused this PIN before, so it was not tried again",
                hint=f"give the right PIN; if this one has become right, remove {self._path(identity)}",
                uri=uri,
            )

    def refuse(self, identity: str, pin: Secret) -> None:
        """Remember that the token refused this PIN; a disk that cannot be written does not hide the PIN error."""
        salt, known = self._read(identity) or (secrets.token_bytes(16), [])
        known = [*known, _digest(pin, salt)][-_REMEMBERED:]
        _in_process[self._key(identity)] = (salt, known)
        data = json.dumps({"salt": salt.hex(), "refused": [digest.hex() for digest in known]})
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._path(identity), data.encode())
        except OSError:
            return

    def clear(self, identity: str) -> None:
        """Forget everything about a token, because it has just accepted a PIN."""
        _in_process.pop(self._key(identity), None)
        try:
            self._path(identity).unlink(missing_ok=True)
        except OSError:
            return

    def _path(self, identity: str) -> Path:
        return self.directory / hashlib.sha256(identity.encode()).hexdigest()[:32]

    def _key(self, identity: str) -> str:
        return str(self._path(identity))

    def _read(self, identity: str) -> tuple[bytes, list[bytes]] | None:
        try:
            with self._path(identity).open("rb") as file:
                data = json.loads(file.read(_MAX_MARKER_BYTES))
            return bytes.fromhex(data["salt"]), [bytes.fromhex(item) for item in data["refused"]][-_REMEMBERED:]
        except FileNotFoundError:
            # Removed by hand: that is how somebody says "try again". Without a directory the memory is all there is.
            if _is_there(self.directory):
                _in_process.pop(self._key(identity), None)
            return _in_process.get(self._key(identity))
        except (OSError, ValueError, KeyError, TypeError):
            return _in_process.get(self._key(identity))


_in_process: dict[str, tuple[bytes, list[bytes]]] = {}


def _digest(pin: Secret, salt: bytes) -> bytes:
    # 16 MiB and some tens of milliseconds, spent only while a marker exists or is written.
    return hashlib.scrypt(pin.reveal(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)


def _default_directory() -> Path:
    if chosen := os.environ.get(DIRECTORY_VARIABLE):
        return Path(chosen)
    place = next(path for path in (_SYSTEM_DIRECTORY, *_SYSTEM_DIRECTORY.parents) if _is_there(path))
    if os.access(place, os.W_OK | os.X_OK):
        return _SYSTEM_DIRECTORY
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        base = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    except RuntimeError:  # no home directory at all
        return _SYSTEM_DIRECTORY
    return base / "device-sdk" / "refused-pins"


def _is_there(directory: Path) -> bool:
    """Whether a directory is there for this user; root's own, closed to others, is not."""
    try:
        return is_directory(directory)
    except KeyStoreError:
        return False


def _write(path: Path, data: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
