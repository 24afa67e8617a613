"""Which lines there are, and whether one is still what it was."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from device_sdk.transports.serial.exclusive import is_tty_path

Signature: TypeAlias = tuple[object, ...]
_MAX_LINES = 4096


def present(urls: Sequence[str], globs: Sequence[str]) -> list[str]:
    """The lines there are now, each once, whatever names it has.

    Args:
        urls: lines by name; those that are no path are there always.
        globs: patterns of paths.
    """
    found: dict[str, str] = {
        os.path.realpath(url) if is_tty_path(url) else url: url for url in urls if signature(url) is not None
    }
    for pattern in globs:
        # patterns are absolute or not, which Path.glob does not offer
        for path in sorted(glob.glob(pattern))[:_MAX_LINES]:  # noqa: PTH207
            if signature(path) is not None:  # a link may lead nowhere
                found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def signature(line: str) -> Signature | None:
    """Changes when an adapter was pulled out and put in again; None while it is out. A line by URL never changes."""
    if not is_tty_path(line):
        return (line,)
    with suppress(OSError):
        link, node = Path(line).lstat(), Path(line).stat()
        return os.path.realpath(line), link.st_ino, link.st_mtime_ns if link.st_ino != node.st_ino else 0, node.st_rdev
    return None
