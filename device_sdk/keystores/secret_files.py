"""Symmetric keys as files that nobody else can read: one JSON object a key, mode 0600."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from device_sdk.errors import KeyExistsError, KeyNotFoundError
from device_sdk.keystores.atomic import PRIVATE, create_file, is_directory, is_taken, replace_file
from device_sdk.model.symmetric_keys import SymmetricKey

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def secret_file(directory: Path, key: SymmetricKey, suffix: str = ".key.json") -> Path:
    """Where a key goes: its identifier, or SHA-256 of it where that is no name for a file."""
    stem = key.key_id if _PLAIN.fullmatch(key.key_id) else hashlib.sha256(key.key_id.encode()).hexdigest()
    return directory / f"{stem}{suffix}"


def require_secret_file_free(directory: Path, key: SymmetricKey, suffix: str = ".key.json") -> None:
    """Make sure that there is a directory, and no file for this key in it.

    Raises:
        KeyNotFoundError: there is no such directory.
        KeyExistsError: there is such a file.
        KeyStoreError: it cannot be looked at.
    """
    if not is_directory(directory):
        raise KeyNotFoundError(f"{directory} is no directory", hint="make it, for this user only", uri=str(directory))
    path = secret_file(directory, key, suffix)
    if is_taken(path):
        raise KeyExistsError(f"{path} exists already", hint="--replace puts the new one in its place", uri=str(path))


def store_secret_file(directory: Path, key: SymmetricKey, *, replace: bool) -> str:
    """Write a key; says where it is. `value` of the object is hexadecimal.

    Raises:
        KeyExistsError: there is such a file, and it is not to be replaced.
        KeyStoreError: it cannot be written; what was there is unchanged.
    """
    path = secret_file(directory, key)
    content = json.dumps({**key.to_json(), "value": key.value.reveal().hex()}, ensure_ascii=False) + "\n"
    (replace_file if replace else create_file)(path, content.encode(), PRIVATE)
    return str(path)
