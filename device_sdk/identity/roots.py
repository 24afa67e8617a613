"""The directories the machine describes itself in, and how a file there is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from device_sdk.errors import ConfigurationError

MAX_BYTES = 4096


@dataclass(frozen=True)
class Roots:
    """Where sysfs, procfs and the system's configuration are; other places for tests, containers and images."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    etc: Path = Path("/etc")


def read_fact(path: Path, what: str) -> str:
    """One short text out of a file, without the white space and NUL bytes around it.

    Args:
        path: the file; at most MAX_BYTES of it are read.
        what: what it holds, for the message.

    Raises:
        ConfigurationError: absent, unreadable, empty, too long, or not text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except PermissionError as error:
        raise ConfigurationError(
            f"{what}: no permission to read {path}", hint="run as root, or give the value itself"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{what}: cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{what}: {path} is longer than {MAX_BYTES} bytes")
    return one_line(data, f"{what}: {path}")


def one_line(data: bytes, where: str) -> str:
    """Text out of bytes; the white space and NUL bytes around it do not count.

    Raises:
        ConfigurationError: nothing there, several lines, or control characters.
    """
    try:
        text = data.decode().strip(" \t\r\n\0")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where} does not hold text") from error
    if not text:
        raise ConfigurationError(f"{where} is empty")
    if not text.isprintable():
        raise ConfigurationError(f"{where} holds more than one line of text")
    return text
