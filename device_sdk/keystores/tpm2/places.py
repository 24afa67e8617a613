"""Where a key's name leads: a TSS2 PRIVATE KEY file or a persistent handle, and the certificate beside it."""

from __future__ import annotations

import hashlib
import os
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


def make_certificate_directory(path: Path) -> None:
    """The directory of a persistent key's certificate, made at need.

    Raises:
        KeyStoreError: it cannot be made.
    """
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise KeyStoreError(
            f"{path.parent} for certificates cannot be made: {error.strerror}", hint="set DEVICE_SDK_CERTIFICATES"
        ) from error
