"""Files that no result may replace: with a private key in them, a secret this command reads, or another result of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.cli.files import OutputFile

_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,64}PRIVATE KEY-----")
_LOOKED_AT_BYTES = 1024 * 1024

_results: WeakValueDictionary[str, OutputFile] = WeakValueDictionary()
_secrets: set[tuple[int, int]] = set()


def claim(result: OutputFile, target: str, *, replace: bool) -> None:
    """A result of this command will be at `target`.

    Args:
        result: what will be there.
        target: a regular file or a free name, links followed.
        replace: whether what is there is to go.

    Raises:
        ConfigurationError: it would take the place of something that cannot be had again.
    """
    place = os.path.realpath(target)
    if _results.get(place) not in (None, result):
        raise _refusal(target, "it is named for two results of this command")
    status = _status(target)
    if replace and status is not None:
        if status in _secrets:
            raise _refusal(target, "it holds a secret that this command uses")
        if _holds_private_key(Path(target)):
            raise _refusal(target, "it holds a private key")
    _results[place] = result


def release(result: OutputFile) -> None:
    """It is there, or will not be."""
    for place in [place for place, one in _results.items() if one is result]:
        del _results[place]


def secret_is_read(path: Path, status: os.stat_result) -> None:
    """This command takes a secret from a file.

    Raises:
        ConfigurationError: a result was to take its place.
    """
    found = status.st_dev, status.st_ino
    if any(_status(place) == found for place in list(_results)):
        raise _refusal(str(path), "it holds a secret that this command uses")
    _secrets.add(found)


def _status(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _holds_private_key(path: Path) -> bool:
    """PEM of any kind: what keystores write, what openssl and tpm2-tools write; a TPM's file is the only way to its key."""
    try:
        with path.open("rb") as file:
            return _KEY.search(file.read(_LOOKED_AT_BYTES)) is not None
    except OSError:
        return False  # who writes there learns of it


def _refusal(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is not written: {why}", hint="name another file; delete this one first if that is meant"
    )
