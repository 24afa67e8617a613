"""The audit log: one JSON line a request."""

from __future__ import annotations

import json
import os
from pathlib import Path


class AuditLog:
    """Appends to a file; every line is complete, whatever happens to the process.

    Args:
        path: the file; made if it is missing, with mode 0600 because it names devices and people.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, **facts: object) -> None:
        """Append one line; facts that are None are left out."""
        line = json.dumps({name: value for name, value in facts.items() if value is not None}) + "\n"
        os.write(self._file, line.encode())

    def entries(self) -> list[dict[str, object]]:
        """Every complete line so far."""
        lines = self.path.read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
