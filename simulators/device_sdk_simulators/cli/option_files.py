"""Reads the files that options of the server name, before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli.speaking import UsageError

if TYPE_CHECKING:
    from cryptography import x509

_LONGEST_PASSWORD = 1024


def read_password(path: Path, option: str = "--password-file") -> str:
    """The first line of a file; UsageError if that is no password."""
    try:
        with path.open("rb") as file:
            # bounded: it may be a device
            line = file.read(_LONGEST_PASSWORD + 3).split(b"\n")[0].removesuffix(b"\r")
        password = line.decode()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{option} {path} is not UTF-8") from error
    if not password or len(line) > _LONGEST_PASSWORD or not password.isprintable():
        words = f"1 to {_LONGEST_PASSWORD} bytes without control characters"
        raise UsageError(f"{option} {path}: the first line is no password, that has {words}")
    return password


def read_documents(documents: list[tuple[str, Path]], largest: int | None = None) -> dict[str, bytes]:
    """The contents of files by the paths they are to have; UsageError, also for one of more bytes than `largest`."""
    contents = {}
    for path, file in documents:
        content = _content("--document", file, largest)
        if largest is not None and len(content) > largest:
            size = max(file.stat().st_size, len(content))
            raise UsageError(f"--document {path}={file}: that has {size} bytes, and the roles carry {largest} at most")
        contents[path] = content
    return contents


def read_anchors(file: Path) -> list[x509.Certificate]:
    """Certificates in PEM; UsageError."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_content("--client-anchors", file))
    except ValueError as error:
        raise UsageError(f"--client-anchors {file} holds no certificates in PEM") from error


def _content(option: str, file: Path, largest: int | None = None) -> bytes:
    """What is in a file, or the beginning of it, from which one sees that it is too much."""
    try:
        with file.open("rb") as opened:
            return opened.read(-1 if largest is None else largest + 1)
    except OSError as error:
        raise UsageError(f"{option} {file}: {error.strerror}") from error
