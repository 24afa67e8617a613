"""How things are measured: whole processes with wall time and peak memory, and operations per second."""

from __future__ import annotations

import atexit
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


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


@cache
def _launcher() -> Path:
    """The compiled launcher; in a directory that is removed at exit."""
    directory = Path(tempfile.mkdtemp(prefix="device-sdk-measure-"))
    atexit.register(shutil.rmtree, directory)
    subprocess.run(["gcc", "-O2", "-o", directory / "measure", Path(__file__).with_name("measure.c")], check=True)
    return directory / "measure"


def process(words: list[str], environment: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Run one process; gives wall time in seconds and peak resident set in MiB.

    Raises:
        RuntimeError: it failed.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader) as figures:
        done = subprocess.run(
            [str(_launcher()), str(writer), *words],
            env=dict(os.environ) | dict(environment or {}),
            pass_fds=(writer,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        os.close(writer)
        if done.returncode != 0:
            raise RuntimeError(f"{words} exited with {done.returncode}: {done.stderr.decode(errors='replace')[-500:]}")
        wall_us, peak_kib = map(int, figures.read().split())
    return wall_us / 1e6, peak_kib / 1024


def processes(sequence: list[list[str]], runs: int, environment: Mapping[str, str] | None = None) -> Figure:
    """Measure a sequence of processes several times, one after the other in each run."""
    walls, peaks = [], []
    for _ in range(runs + 1):
        parts = [process(words, environment) for words in sequence]
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
