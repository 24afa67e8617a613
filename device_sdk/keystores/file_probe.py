"""What keys in files can do: everything, except stay where they are."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk.keystores.atomic import is_directory
from device_sdk.keystores.file_keys import FileEcKey, FileRsaKey
from device_sdk.keystores.trial import try_key
from device_sdk.model.keys import KeyInfo, KeyType, Probe


def probe_files(path: Path) -> Probe:
    """Try all operations with keys that are never written; look at the directory.

    Args:
        path: a key file, or the directory keys would be in.

    Raises:
        KeyStoreError: the path cannot be looked at.
    """
    directory = path if is_directory(path) else path.parent
    info = KeyInfo("file:", "file", None, "probe", None, None, hardware=False, extractable=True)
    keys = (
        FileEcKey(ec.generate_private_key(ec.SECP256R1()), info),
        FileRsaKey(rsa.generate_private_key(public_exponent=65537, key_size=2048), info),
    )
    operations = {name: worked for key in keys for name, worked in try_key(key)}
    warnings = ["Whoever can read the file or its storage has the key; prefer a token or TPM where there is one."]
    if not os.access(directory, os.W_OK | os.X_OK):
        warnings.append(f"{directory} is missing or cannot be written.")
    description = {"directory": str(directory), "library": backend.openssl_version_text()}
    return Probe("file", description, tuple(KeyType), operations, {}, tuple(warnings))
