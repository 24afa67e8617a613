"""Ptys, with the test at their far end."""

from __future__ import annotations

import contextlib
import os
import tty
from collections.abc import Iterator
from dataclasses import dataclass

import pytest


@dataclass
class FarEnd:
    """The master of a pty; `path` is what a line opens."""

    master: int
    path: str

    def say(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.master, data) :]

    def hear(self, size: int = 65536) -> bytes:
        return os.read(self.master, size)

    def hang_up(self) -> None:
        """Once: somebody else may have that number by the second time."""
        master, self.master = self.master, -1
        with contextlib.suppress(OSError):
            os.close(master)


@pytest.fixture
def far_end() -> Iterator[FarEnd]:
    master, slave = os.openpty()
    tty.setraw(slave)
    end = FarEnd(master, os.ttyname(slave))
    os.close(slave)
    yield end
    end.hang_up()
