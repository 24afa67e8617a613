"""The machine itself: what it is, its memory, the room for the state, and whether it keeps the time."""

from __future__ import annotations

import os
import platform
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from device_sdk.client.doctor_hardware import Verdict
from device_sdk.errors import ConfigurationError
from device_sdk.identity.roots import Roots, read_fact

_MIN_MEMORY_KIB = 48 * 1024
_MIN_ROOM = 8 * 1024 * 1024
_SLOW_SYNC_S = 0.5
_SYNCS = 5
# what is written there is gone with the power
_FLEETING = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def machine(roots: Roots) -> Verdict:
    """What the board calls itself, and what runs on it."""
    name = "unknown board"
    for path in (roots.proc / "device-tree" / "model", roots.sys / "class" / "dmi" / "id" / "product_name"):
        with suppress(ConfigurationError):
            name = read_fact(path, "model")
            break
    libc = " ".join(platform.libc_ver()).strip() or "another libc than glibc"
    words = f"{name}: {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}, {libc}"
    return "ok", words, None


def memory(roots: Roots) -> Verdict:
    """Whether an enrolment fits: it takes 43 MiB (docs/operations.md)."""
    text = (roots.proc / "meminfo").read_text()
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        return "warning", "the kernel does not say how much memory is available", None
    available = int(found[1])
    words = f"{available // 1024} MiB of memory are available"
    if available < _MIN_MEMORY_KIB:
        return "failed", words, f"an enrolment needs {_MIN_MEMORY_KIB // 1024} MiB: stop something, or add swap"
    return "ok", words, None


def room(state_dir: Path) -> Verdict:
    """Whether the state directory can be written, lasts, and how long the flash takes to have something for good."""
    place = _existing(state_dir)
    stat = os.statvfs(place)
    free = stat.f_bavail * stat.f_frsize
    kind = _file_system(place)
    words = f"{place}: {free // 1024} KiB free on {kind or 'an unknown file system'}"
    if not os.access(place, os.W_OK):
        return (
            "failed",
            f"{place} cannot be written by this user",
            "chown it to the user of the service, or name another (--state)",
        )
    if kind in _FLEETING:
        return "failed", f"{words}, which is gone with the power", "name a directory on flash (--state)"
    if free < _MIN_ROOM:
        return "failed", words, f"at least {_MIN_ROOM // 1024} KiB are needed: renewals keep old and new side by side"
    slowest = _slowest_sync(place)
    words += f"; to write something for good takes up to {slowest * 1000:.0f} ms"
    if slowest > _SLOW_SYNC_S:
        return "warning", words, "each step of an enrolment waits for that: allow for longer time limits"
    return "ok", words, None


def clock_chip(roots: Roots) -> Verdict:
    """Whether the time outlives a power cut."""
    clocks = roots.sys / "class" / "rtc"
    names = sorted(path.name for path in clocks.iterdir()) if clocks.is_dir() else []
    if not names:
        return (
            "warning",
            "no clock that runs without power",
            "start time synchronisation before enrolment and renewal (hw/README.md)",
        )
    chips = [_fact(clocks / name / "name") for name in names]
    return "ok", "clock: " + ", ".join(chips), None


def _fact(path: Path) -> str:
    try:
        return read_fact(path, "clock")
    except ConfigurationError:
        return path.parent.name


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path


def _file_system(place: Path) -> str | None:
    """The type of the file system under a path, by the longest mount point that leads to it."""
    best, kind = -1, None
    for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[1]))
        if (mount == place or mount in place.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fields[2]
    return kind


def _slowest_sync(place: Path) -> float:
    slowest = 0.0
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(_SYNCS):
            file.write(b"device-sdk" * 100)
            file.flush()
            begun = time.monotonic()
            os.fsync(file.fileno())
            slowest = max(slowest, time.monotonic() - begun)
    return slowest
