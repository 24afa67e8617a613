"""Secrets that pass through memory, and what is done so that no copy of ours stays there.

Python frees an object without overwriting it, so each piece of code that makes a copy of a secret says so (`passing`), and
whoever opened the section (`sweeping`) overwrites all of them at its end. What libraries free meanwhile is overwritten by
the allocator, where that is glibc's (`model/heap.py`). docs/threat-model.md says what is left.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T", bytes, "bytes | None")

_CONTENTS = bytes.__basicsize__ - 1  # where CPython has the octets of a bytes object; one more is behind them
_SHARED = 1  # so short ones are the same object everywhere in the process


class Passing:
    """What has been noted in a section."""

    def __init__(self) -> None:
        self._noted: list[bytes] = []
        self._kept: list[bytes] = []

    def note(self, data: bytes) -> None:
        """This is a copy of ours, and goes at the end."""
        self._noted.append(data)

    def keep(self, data: bytes) -> None:
        """This stays: it is somebody else's, or goes on."""
        self._kept.append(data)

    def sweep(self) -> None:
        """Overwrite all but what is kept."""
        kept = {id(one) for one in self._kept}
        for one in self._noted:
            if id(one) not in kept:
                overwrite(one)
        self._noted.clear()
        self._kept.clear()


_section: ContextVar[Passing | None] = ContextVar("section", default=None)


@contextmanager
def sweeping() -> Iterator[Passing]:
    """A section at the end of which, however it ends, everything is overwritten that was noted by `passing` meanwhile.

    What is freed in it is overwritten, too, but for what Python keeps for small objects: of those, `passing` says which.
    """
    from device_sdk.model.heap import overwriting_what_is_freed

    section = Passing()
    with overwriting_what_is_freed():
        token = _section.set(section)
        try:
            yield section
        finally:
            _section.reset(token)
            section.sweep()


def passing(data: T) -> T:
    """The same object; outside a section nothing is noted.

    Args:
        data: just made and known to nobody else, or the input of the section, which that keeps.
    """
    section = _section.get()
    if section is not None and data is not None:
        section.note(data)
    return data


@contextmanager
def wiping(*buffers: bytearray) -> Iterator[None]:
    """Overwrite buffers with zeros at the end, however it ends."""
    try:
        yield
    finally:
        for buffer in buffers:
            buffer[:] = bytes(len(buffer))


def overwrite(data: bytes) -> None:
    """Overwrite a bytes object with zeros where it is, for its only owner; nothing happens on other Pythons than CPython."""
    if len(data) > _SHARED and sys.implementation.name == "cpython":
        import ctypes

        ctypes.memset(id(data) + _CONTENTS, 0, len(data))
