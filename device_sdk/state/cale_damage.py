"""CALE files that cannot be read: what to do about one of them, without a word about the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from device_sdk.errors import StateCorruptError, StateError


@contextmanager
def advising(name: str) -> Iterator[None]:
    """Say what helps against damage of the files of one application; the device and the others have nothing to do with it."""
    try:
        yield
    except StateCorruptError as error:
        error.hint = (
            "restore that file from a backup; or make the registration anew: "
            f"device-sdk cale register --again --application {name} --key URI --type TYPE; "
            f"or give it up: device-sdk cale forget --application {name}"
        )
        raise


def damage(name: str, reads: Iterable[Callable[[str], object]]) -> Iterator[StateError]:
    """What of the files of one application cannot be read."""
    for read in reads:
        try:
            read(name)
        except StateError as error:
            yield error
