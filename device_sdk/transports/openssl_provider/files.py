"""Bytes as a path for functions that take only file names; never used for a secret."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def as_path(content: bytes) -> Iterator[str]:
    """A path where the bytes can be read meanwhile: memory where the system has it, else a directory of mode 0700."""
    with ExitStack() as stack:
        path = _memory_path(content, stack)
        if path is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            path = str(Path(directory) / "content")
            Path(path).write_bytes(content)
        yield path


def _memory_path(content: bytes, stack: ExitStack) -> str | None:
    if not hasattr(os, "memfd_create"):
        return None
    try:
        descriptor = os.memfd_create("device-sdk", os.MFD_CLOEXEC)
    except OSError:
        return None
    stack.callback(os.close, descriptor)
    path = f"/proc/self/fd/{descriptor}"
    if not Path(path).exists():  # no /proc in this chroot or container
        return None
    os.write(descriptor, content)
    return path
