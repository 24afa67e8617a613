"""Data on stdout, words on stderr."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from device_sdk.errors import ConfigurationError, DeviceSdkError


class Output:
    """What a command says.

    Args:
        as_json: print data as one JSON document instead of text.
        verbose: print progress words.
    """

    def __init__(self, *, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose

    def data(self, value: Mapping[str, object] | list[object], text: str) -> None:
        """Print the result, once, on stdout: `value` with --json, `text` otherwise."""
        sys.stdout.write((json.dumps(value, indent=2, default=str) if self.as_json else text.rstrip("\n")) + "\n")
        sys.stdout.flush()

    def say(self, words: str) -> None:
        """Words for the person at the terminal."""
        print(words, file=sys.stderr)

    def progress(self, words: str) -> None:
        """Words only a curious person wants (-v)."""
        if self.verbose:
            self.say(words)

    def error(self, error: DeviceSdkError) -> None:
        """One line on stderr; with --json also the facts on stdout."""
        print(f"device-sdk: {one_line(str(error))}", file=sys.stderr)
        if self.as_json:
            print(json.dumps({"error": error.facts()}, default=str))


def one_line(text: str) -> str:
    """Text from anywhere, made fit for one terminal line: control characters replaced, length bounded."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= 1000 else clean[:1000] + "..."


def write_file(path: str, content: bytes, *, mode: int = 0o644) -> None:
    """Write a whole file or nothing: temporary file beside it, fsync, rename.

    Raises:
        ConfigurationError: the place cannot be written; an existing file there is unchanged.
    """
    target = Path(path)
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)  # noqa: PTH105  # the path of mkstemp is text
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}", hint="check --out and the free space"
        ) from error


def read_file(path: str, *, limit_bytes: int = 16 * 1024 * 1024) -> bytes:
    """Read a whole file, bounded.

    Raises:
        ConfigurationError: it cannot be read, or is larger than the limit.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > limit_bytes:
        raise ConfigurationError(f"{path} is larger than {limit_bytes} bytes")
    return content
