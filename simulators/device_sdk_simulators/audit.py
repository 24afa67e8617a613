"""The audit log: one JSON line a request, bounded in every direction."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

LONGEST = 512
"""Characters that one text takes in the log; of what is longer the beginning is there, and how long it was."""
MOST_ITEMS = 64
MOST_BYTES = 16 * 1024 * 1024
"""Of one file. There are two: the log, and the one before it."""
_LONGEST_LINE = 1024 * 1024


class AuditLog:
    """Appends to a file; every line is complete, whatever happens to the process, and when the disk is full.

    When the file is full it is renamed to NAME.1, whose place it takes, and a new one is begun: twice `most_bytes` is kept.

    Args:
        path: the file; made if it is missing, with mode 0600 because it names devices and people.
        most_bytes: when it is full.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self.path = path
        self.earlier = path.with_name(f"{path.name}.1")
        self._most = most_bytes
        self._lock = threading.Lock()
        self._lost = 0
        self._open()

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size
        self._drop_torn_line()

    def _drop_torn_line(self) -> None:
        """What a power cut has left of a last line goes: the next one would be appended to it."""
        start = max(0, self._size - _LONGEST_LINE)
        end = os.pread(self._file, _LONGEST_LINE, start)
        if end and not end.endswith(b"\n"):
            self._size = start + end.rfind(b"\n") + 1
            os.ftruncate(self._file, self._size)

    def write(self, **facts: object) -> None:
        """Append one line; facts that are None are left out, and long ones cut: who asks does not choose how much we keep.

        A line that cannot be written, on a full disk for example, is lost as a whole, and the next one says how many were
        ("lost_before"). Nobody is refused for it: lines have different lengths for those who are registered and for others,
        and where there is room for the shorter one only, the answers would tell who is who.
        """
        known = {name: _bounded(value) for name, value in facts.items() if value is not None}
        with self._lock:
            if self._lost:
                known["lost_before"] = self._lost
            try:
                self._append((json.dumps(known) + "\n").encode())
            except OSError:
                self._lost += 1
            else:
                self._lost = 0

    def _append(self, line: bytes) -> None:
        if self._size and self._size + len(line) > self._most:
            self._begin_anew()
        try:
            written = os.write(self._file, line)
            while written < len(line):
                # there was room for a part of it; this says why
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def _begin_anew(self) -> None:
        full = self._file
        with suppress(FileNotFoundError):
            # there may have been no room for a new one when this one was full before
            self.path.replace(self.earlier)
        self._open()
        os.close(full)

    def entries(self) -> list[dict[str, object]]:
        """Every complete line that is kept, the oldest first."""
        with self._lock:
            files = [file.read_text() for file in (self.earlier, self.path) if file.exists()]
        return [json.loads(line) for text in files for line in text.split("\n")[:-1]]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            os.close(self._file)


def _bounded(value: object) -> object:
    if isinstance(value, str):
        return _shortened(value)
    if isinstance(value, dict):
        return {_shortened(str(name)): _bounded(one) for name, one in list(value.items())[:MOST_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [_bounded(one) for one in list(value)[:MOST_ITEMS]]
    return value


def _shortened(text: str) -> str:
    """A text that takes about LONGEST characters in JSON, where one character may take twelve."""
    if len(text) <= LONGEST and len(json.dumps(text)) <= LONGEST:
        return text
    start = text[:LONGEST]
    while len(json.dumps(start)) > LONGEST:
        start = start[: len(start) // 2]
    return f"{start}... ({len(text)} characters)"
