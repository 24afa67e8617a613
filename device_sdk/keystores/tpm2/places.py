"""Where a key's name leads: a TSS2 PRIVATE KEY file or a persistent handle, and the certificate beside it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

from device_sdk.errors import KeyStoreError, StoreCorruptError, WireError
from device_sdk.keystores.atomic import list_files, read_file
from device_sdk.keystores.certificate_file import certificate_path, spki_of
from device_sdk.model.keys import PublicKey
from device_sdk.wire.tpm_secret import is_tpm_secret
from device_sdk.wire.tss2_key import MAX_BYTES, Tss2Key

OWNER_HANDLES = range(0x81000000, 0x81800000)
"""Persistent handles the owner may give (TPM 2.0 part 2, 7.5; the platform has those above)."""

_SYSTEM_DIRECTORY = Path("/var/lib/device-sdk/tpm2-certificates")
_HINT = "name a directory that can be written to: the setting certificates_dir, or the variable DEVICE_SDK_CERTIFICATES"


def read_key_file(path: str, where: str) -> Tss2Key:
    """Read a TSS2 PRIVATE KEY file.

    Raises:
        KeyNotFoundError: no such file.
        StoreCorruptError: it is something else, or damaged.
    """
    data, _ = read_file(Path(path), MAX_BYTES)
    try:
        return Tss2Key.parse(data)
    except WireError as error:
        raise StoreCorruptError(f"{where}: {error.message}", uri=where) from error


def key_files(directory: str) -> dict[Path, Tss2Key]:
    """The key pairs of a directory, in TSS2 PRIVATE KEY files; other files are passed over."""
    found = {}
    for path in list_files(Path(directory)):
        try:
            data, _ = read_file(path, MAX_BYTES)
            if not is_tpm_secret(data):
                found[path] = Tss2Key.parse(data)
        except (WireError, KeyStoreError):
            continue
    return found


def certificate_of_file(path: str) -> Path:
    """Where the certificate of a key file is: `key.crt` beside `key.pem`."""
    return certificate_path(Path(path))


def certificate_of_handle(handle: int, public_key: PublicKey) -> Path:
    """Where the certificate of a persistent key is.

    NV memory of a TPM is scarce and wears out, so it is a file `HANDLE-SPKI.crt` (the first 16 hexadecimal digits of the
    SHA-256 of the SubjectPublicKeyInfo: a new key under the same handle never meets the old key's certificate) in
    DEVICE_SDK_CERTIFICATES, else /var/lib/device-sdk/tpm2-certificates for root, else
    $XDG_DATA_HOME/device-sdk/tpm2-certificates.
    """
    digest = hashlib.sha256(spki_of(public_key)).hexdigest()
    return _certificate_directory() / f"{handle:08x}-{digest[:16]}.crt"


def _certificate_directory() -> Path:
    configured = os.environ.get("DEVICE_SDK_CERTIFICATES")
    if configured:
        return Path(configured)
    if os.getuid() == 0:
        return _SYSTEM_DIRECTORY
    data = os.environ.get("XDG_DATA_HOME")
    try:
        base = Path(data) if data else Path.home() / ".local/share"
    except RuntimeError:  # no home directory at all
        return _SYSTEM_DIRECTORY
    return base / "device-sdk/tpm2-certificates"


def require_certificate_directory(where: str) -> None:
    """Make sure that the certificate of a persistent key could be kept. Nothing is written, and no directory made.

    Args:
        where: redacted URI of the key, for messages.

    Raises:
        KeyStoreError: its directory cannot be made or written to: a read-only file system, a missing permission, something
            else in its place.
    """
    directory = _certificate_directory()
    try:
        place = _nearest(directory.absolute())
        if not stat.S_ISDIR(place.stat().st_mode):
            raise _system_error(errno.ENOTDIR)
        # says no for root, too, where the file system is read-only
        if not os.access(place, os.W_OK | os.X_OK):
            raise _system_error(errno.EROFS if os.statvfs(place).f_flag & os.ST_RDONLY else errno.EACCES)
    except OSError as error:
        raise _unusable(directory, error, where) from error


def make_certificate_directory(where: str) -> None:
    """The directory of the certificates of persistent keys, made at need.

    Args:
        where: redacted URI of the key, for messages.

    Raises:
        KeyStoreError: it cannot be made or written to.
    """
    require_certificate_directory(where)
    directory = _certificate_directory()
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(directory, error, where) from error


def _nearest(path: Path) -> Path:
    """The path itself if there is something of that name, else the directory above it in which it would be made."""
    try:
        path.lstat()
    except FileNotFoundError:
        return _nearest(path.parent)
    return path


def _system_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _unusable(directory: Path, error: OSError, where: str) -> KeyStoreError:
    done = "written to" if os.path.lexists(directory) else "made"
    return KeyStoreError(
        f"{where}: there is no place for its certificate: {directory} cannot be {done}: {error.strerror}",
        hint=_HINT,
        uri=where,
    )
