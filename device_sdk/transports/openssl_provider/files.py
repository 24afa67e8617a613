"""Bytes as a path for functions that take only file names; never used for a secret."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from device_sdk.errors import StateNotWritableError


@contextmanager
def as_path(content: bytes) -> Iterator[str]:
    """A path where the bytes can be read meanwhile: memory where the system has it, else a directory of mode 0700.

    Raises:
        StateNotWritableError: neither has room for them.
    """
    with ExitStack() as stack:
        try:
            path = _memory_path(content, stack)
            if path is None:
                directory = stack.enter_context(tempfile.TemporaryDirectory())
                path = str(Path(directory) / "content")
                Path(path).write_bytes(content)
        except OSError as exc:
            raise StateNotWritableError(
                f"the client certificate cannot be handed to the TLS library by a temporary file: {exc.strerror or exc}",
                hint="free some space, in memory or in the directory for temporary files (TMPDIR), or lift the limit on the size "
                "of files, and run the same command again",
            ) from exc
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
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
    except OSError:  # no memory for it; a disk may have room
        return None
    return path
