"""How things are measured: whole processes with wall time and peak memory, and operations per second."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Median of several runs of one command (or of a sequence of commands run one after the other).

    Attributes:
        wall_ms: median wall time, milliseconds.
        spread_ms: smallest and largest.
        peak_mib: largest resident set of any of its processes, MiB.
    """

    wall_ms: float
    spread_ms: tuple[float, float]
    peak_mib: float

    def __str__(self) -> str:
        low, high = self.spread_ms
        return f"{self.wall_ms:8.1f} ms  ({low:.1f} to {high:.1f})  {self.peak_mib:6.1f} MiB"


def process(words: list[str], environment: Mapping[str, str] | None = None, stdin: bytes = b"") -> tuple[float, float]:
    """Run one process; gives wall time in seconds and peak resident set in MiB.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as errors:
        source.write(stdin)
        source.seek(0)
        start = time.perf_counter()
        child = subprocess.Popen(
            words,
            env=dict(os.environ) | dict(environment or {}),
            stdin=source,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            errors.seek(0)
            raise RuntimeError(
                f"{words} exited with {child.returncode}: {errors.read().decode(errors='replace')[-500:]}"
            )
    return wall, usage.ru_maxrss / 1024


def processes(
    sequence: Callable[[], list[tuple[list[str], bytes]]], runs: int, environment: Mapping[str, str] | None = None
) -> Figure:
    """Measure a sequence of processes several times; `sequence` gives the commands and their input for one run."""
    walls, peaks = [], []
    for _ in range(runs + 1):
        parts = [process(words, environment, stdin) for words, stdin in sequence()]
        walls.append(sum(wall for wall, _ in parts) * 1000)
        peaks.append(max(peak for _, peak in parts))
    # the first run warms the page cache and is not counted
    return Figure(statistics.median(walls[1:]), (min(walls[1:]), max(walls[1:])), max(peaks[1:]))


def rate(operation: Callable[[], object], seconds: float = 2.0) -> float:
    """Operations per second of a call, after a few warm-up calls."""
    for _ in range(3):
        operation()
    count = 0
    start = time.perf_counter()
    while (now := time.perf_counter()) - start < seconds:
        operation()
        count += 1
    return count / (now - start)
