"""Data on stdout, words on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from typing import TextIO

from device_sdk.errors import ConfigurationError, DeviceSdkError


class Output:
    """What a command says.

    Args:
        as_json: print data as JSON instead of text.
        verbose: print progress words.

    Attributes:
        waiting_for: why the next wait is one, in words.
    """

    waiting_for = ""

    def __init__(self, *, as_json: bool = False, verbose: bool = False) -> None:
        self.as_json = as_json
        self.verbose = verbose
        for stream in (sys.stdout, sys.stderr):
            # names out of certificates go to terminals of every kind
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")

    def data(self, value: Mapping[str, object], text: str) -> None:
        """Print the result, once, on stdout: `value` with --json, `text` otherwise.

        Raises:
            ConfigurationError: standard output cannot be written.
        """
        self._print((json.dumps(value, indent=2, default=plain) if self.as_json else text.rstrip("\n")) + "\n")

    def line(self, value: Mapping[str, object], text: str, *, again: bool = False) -> None:
        """Print one result of several: a line of JSON, or of text; raises as `data`.

        Args:
            value: with --json.
            text: otherwise.
            again: what cannot be written now is kept, as far as there is room, for the next one.
        """
        self._print((json.dumps(value, default=plain) if self.as_json else text) + "\n", again=again)

    def content(self, data: bytes) -> None:
        """Print bytes as they are, but for line feeds that fill up the end, at a terminal; raises as `data`."""
        if sys.stdout is not None and data.endswith(b"\n\n") and sys.stdout.isatty():
            data = data.rstrip(b"\n") + b"\n"
        self._print(data)

    def say(self, words: str) -> None:
        """Words for the person at the terminal."""
        with suppress(OSError):
            print(one_line(words), file=sys.stderr)

    def progress(self, words: str) -> None:
        """Words only a curious person wants (-v)."""
        if self.verbose:
            self.say(words)

    def error(self, error: DeviceSdkError, rescued: Mapping[str, object] | None = None) -> None:
        """One line on stderr; with --json also the facts on stdout, and what was nevertheless achieved."""
        self.failure(str(error), error.facts(), rescued)

    def failure(self, words: str, facts: Mapping[str, object], rescued: Mapping[str, object] | None = None) -> None:
        """The same for an error that is not one of the SDK's."""
        self.say(f"device-sdk: {words}")
        if self.as_json:
            with suppress(ConfigurationError, BrokenPipeError):
                self._print(json.dumps({"error": facts} | dict(rescued or {}), default=plain) + "\n")

    def _print(self, text: str | bytes, *, again: bool = False) -> None:
        if sys.stdout is None:
            raise ConfigurationError("cannot write to standard output: it is closed")
        try:
            stream = sys.stdout if isinstance(text, str) else sys.stdout.buffer
            stream.write(text)  # type: ignore[arg-type]  # text goes to the text stream, bytes to the other
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            if not again:
                abandon(sys.stdout)
            raise ConfigurationError(f"cannot write to standard output: {error.strerror}") from error


def abandon(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, so that Python does not complain about it at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def plain(value: object) -> str:
    """For JSON: times are RFC 3339 in UTC, everything else its text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)


def one_line(text: str) -> str:
    """Text from anywhere, made fit for one terminal line: control characters replaced, length bounded."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= 1000 else clean[:1000] + "..."
