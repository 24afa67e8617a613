"""Symmetric keys as files that nobody else can read: one JSON object a key, mode 0600."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from binascii import hexlify
from collections.abc import Callable
from pathlib import Path

from device_sdk.errors import KeyExistsError, KeyNotFoundError, KeyStoreError, StoreCorruptError
from device_sdk.keystores.atomic import PRIVATE, create_file, is_directory, read_file, replace_file, status_of
from device_sdk.model.symmetric_keys import SymmetricKey
from device_sdk.model.wiping import overwrite, wiping

_VALUE, _END = b', "value": "', b'"}'
_MAX_BYTES = 1024 * 1024
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def secret_file(directory: Path, key: SymmetricKey, suffix: str = ".key.json") -> Path:
    """Where a key goes: its identifier, or SHA-256 of it where that is no name for a file."""
    stem = key.key_id if _PLAIN.fullmatch(key.key_id) else hashlib.sha256(key.key_id.encode()).hexdigest()
    return directory / f"{stem}{suffix}"


def key_id_in(content: bytes) -> str | None:
    """The identifier of the key that a file is, as `store_secret_file` writes it; None for anything else."""
    said, found, _ = content.rpartition(_VALUE)  # what is read of it has no value, so that no copy of that is made
    try:
        facts = json.loads(said + b"}") if found else None
    except (ValueError, RecursionError):
        return None
    key_id = facts.get("key_id") if isinstance(facts, dict) else None
    return key_id if isinstance(key_id, str) else None


def require_secret_file_free(
    directory: Path,
    key: SymmetricKey,
    suffix: str = ".key.json",
    reader: Callable[[bytes], str | None] = key_id_in,
) -> None:
    """Make sure that there is a directory, and no file for this key in it.

    Args:
        directory: of the keys.
        key: the new one.
        suffix: of its file's name.
        reader: gives the identifier of the key that a file is, None for other files.

    Raises:
        KeyNotFoundError: there is no such directory.
        KeyExistsError: there is such a file, of a key of this identifier.
        KeyStoreError: it cannot be looked at; or something else has its name, which nobody may replace.
    """
    if not is_directory(directory):
        raise KeyNotFoundError(f"{directory} is no directory", hint="make it, for this user only", uri=str(directory))
    path = secret_file(directory, key, suffix)
    if holds_that_key(path, key, reader):
        raise KeyExistsError(f"{path} exists already", hint="--replace puts the new one in its place", uri=str(path))


def holds_that_key(path: Path, key: SymmetricKey, reader: Callable[[bytes], str | None] = key_id_in) -> bool:
    """Whether a file is that of a key of this identifier; False if there is none.

    Who packs keys chooses their identifiers, and so the names of files: what is no such key is not theirs to replace, as
    the device's own private key.

    Raises:
        KeyStoreError: it is something else, or cannot be looked at.
    """
    status = status_of(path, follow=False)
    if status is None:
        return False
    if not stat.S_ISREG(status.st_mode) or _read_by(path, reader) != key.key_id:
        raise KeyStoreError(
            f"{path}: this is no key of the identifier {key.key_id[:100]!r}, so it is not replaced",
            hint="have a directory of their own for the keys of packages",
            uri=str(path),
        )
    return True


def _read_by(path: Path, reader: Callable[[bytes], str | None]) -> str | None:
    try:
        content = read_file(path, _MAX_BYTES)[0]
    except (KeyNotFoundError, StoreCorruptError):
        return None
    try:
        return reader(content)
    finally:
        overwrite(content)


def store_secret_file(directory: Path, key: SymmetricKey, *, replace: bool) -> str:
    """Write a key; says where it is. `value` of the object is hexadecimal.

    Raises:
        KeyExistsError: there is such a file, and it is not to be replaced.
        KeyStoreError: it cannot be written, or its name is something else's; what was there is unchanged.
    """
    path = secret_file(directory, key)
    holds_that_key(path, key)
    value = hexlify(key.value.reveal())
    # filled in where it stays, as each step from one string to the next would leave a copy
    text = json.dumps({**key.to_json(), "value": "0" * len(value)}, ensure_ascii=False).encode()
    content = bytearray(text + b"\n")
    start = len(text) - len(value) - len(_END)
    content[start : start + len(value)] = value
    overwrite(value)
    with wiping(content):
        (replace_file if replace else create_file)(path, content, PRIVATE)
    return str(path)
