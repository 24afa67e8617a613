"""Who has a line.

A tty is locked with flock, which two stations, pyserial, picocom and tio respect, and set exclusive (TIOCEXCL), which keeps every
other opener out but root. A lock file of minicom or of an older picocom (`/run/lock/LCK..ttyUSB0`) is respected; none is written,
as a lock in the kernel goes with its process and a file does not. A line over the network has no such lock: an abstract Unix
socket named after it keeps a second station of this machine out, and the far end all others.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import socket
import stat
import termios
from pathlib import Path

from device_sdk.errors import LineInUseError

_LOCK_DIRECTORIES = ("/run/lock", "/var/lock")


def is_tty_path(url: str) -> bool:
    """Whether pyserial would open this as a device file."""
    return "://" not in url


def check_lock_file(url: str) -> None:
    """Raises LineInUseError where a program that lives has a lock file for this tty."""
    name = Path(url).resolve().name
    for directory in _LOCK_DIRECTORIES:
        with contextlib.suppress(OSError):
            words = (Path(directory) / f"LCK..{name}").read_text(encoding="ascii", errors="replace")[:64].split()
            if words and words[0].isdecimal() and int(words[0]) != os.getpid() and Path("/proc", words[0]).exists():
                raise in_use(url, words[0])


def reserve(url: str) -> socket.socket:
    """Keep a line over the network for this process until the socket is closed.

    Raises:
        LineInUseError: another process of this machine, or another part of this one, has it.
    """
    name = b"\0" + _abstract_name(url).encode()
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        holder.bind(name)
    except OSError:
        holder.close()
        raise in_use(url, _owner_of_abstract(url)) from None
    return holder


def set_exclusive(descriptor: int, on: bool) -> None:
    """TIOCEXCL, or its end. A pty keeps the mark when its last opener dies, so none is set there."""
    with contextlib.suppress(OSError):
        if not os.path.realpath(f"/proc/self/fd/{descriptor}").startswith("/dev/pts/"):
            fcntl.ioctl(descriptor, termios.TIOCEXCL if on else termios.TIOCNXCL)


def in_use(url: str, pid: str | None = None) -> LineInUseError:
    """The error that says who it is, where that can be known."""
    pid = pid or (owner_of_tty(url) if is_tty_path(url) else None)
    who = (
        "another program"
        if pid is None
        else "this very process"
        if pid == str(os.getpid())
        else f"process {pid} ({_command(pid)})"
    )
    hint = "end it, or give each station lines of its own"
    return LineInUseError(f"{url} is in use by {who}", line=url, hint=hint)


def owner_of_tty(path: str) -> str | None:
    """The process that has flocked this device, or else one that has it open, as far as /proc tells."""
    with contextlib.suppress(OSError):
        status = Path(path).stat()
        if stat.S_ISCHR(status.st_mode):
            place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
            locks = Path("/proc/locks").read_text(encoding="ascii")
            found = re.search(rf"FLOCK\s+ADVISORY\s+WRITE\s+([1-9]\d*)\s+{place}\s", locks)
            return found[1] if found else _owner_of_descriptor(os.path.realpath(path))
    return None


def _abstract_name(url: str) -> str:
    return "device-sdk-line-" + hashlib.sha256(url.split("?", maxsplit=1)[0].lower().encode()).hexdigest()[:32]


def _owner_of_abstract(url: str) -> str | None:
    with contextlib.suppress(OSError):
        for row in Path("/proc/net/unix").read_text(encoding="ascii", errors="replace").splitlines():
            words = row.split()
            if words[-1] == "@" + _abstract_name(url):
                return _owner_of_descriptor(f"socket:[{words[6]}]")
    return None


def _owner_of_descriptor(target: str) -> str | None:
    for process in Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(OSError):  # another user's, or gone by now
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) == target:
                        return process.name
    return None


def _command(pid: str) -> str:
    with contextlib.suppress(OSError):
        words = Path("/proc", pid, "comm").read_text(encoding="utf-8", errors="replace").strip()
        return "".join(filter(str.isprintable, words))
    return "not visible from here"
