"""Files that no result may replace: with a private key in them, a secret this command reads, or another result of it."""

from __future__ import annotations

import os
from pathlib import Path
from weakref import WeakValueDictionary

from device_sdk.errors import ConfigurationError
from device_sdk.model.private_key_files import holds_private_key

_results: WeakValueDictionary[str, object] = WeakValueDictionary()
_secrets: set[tuple[int, int]] = set()


def claim(result: object, target: str, *, replace: bool = True, image: bool = False) -> None:
    """A result of this command will be at `target`.

    Args:
        result: what will be there.
        target: a regular file or a free name, links followed.
        replace: whether what is there is to go.
        image: see require_replaceable.

    Raises:
        ConfigurationError: it would take the place of something that cannot be had again.
    """
    place = os.path.realpath(target)
    if _results.get(place) not in (None, result):
        raise _refusal(target, "it is named for two results of this command")
    if replace:
        require_replaceable(target, image=image)
    _results[place] = result


def require_replaceable(target: str, *, image: bool = False) -> None:
    """Make sure that a result may take the place of what is there, if anything is.

    Args:
        target: a regular file or a free name.
        image: firmware is there, in which programs may name what keys begin with; a file of text alone is a key's.

    Raises:
        ConfigurationError: it cannot be had again.
    """
    status = _status(target)
    if status is None:
        return
    if status in _secrets:
        raise _refusal(target, "it holds a secret that this command uses")
    if holds_private_key(Path(target), image=image):
        raise _refusal(target, "it holds a private key")


def release(result: object) -> None:
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


def _refusal(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is not written: {why}", hint="name another file; delete this one first if that is meant"
    )
