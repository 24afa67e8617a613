"""What is in the memory of another process."""

from __future__ import annotations

import re
from collections.abc import Iterator


def memory_of(pid: int) -> Iterator[bytes]:
    """Everything a process can write to in its memory."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if match:
                begin, end = (int(one, 16) for one in match.groups())
                memory.seek(begin)
                try:
                    yield memory.read(end - begin)
                except OSError:
                    # a guard page
                    continue


def in_memory(pid: int, *words: bytes) -> bool:
    return any(word in part for part in memory_of(pid) for word in words)
