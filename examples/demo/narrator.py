"""What the demonstration prints for the person watching."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING, TextIO

from invitation import device_commands, exports, server_commands

if TYPE_CHECKING:
    from device import Device
    from programs import Server

_COLUMN = 48


class Narrator:
    """Writes chapters, steps, commands and a table; colours only on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colours = stream.isatty()
        self._number = 0

    def _write(self, text: str = "", colour: str = "") -> None:
        print(f"\033[{colour}m{text}\033[0m" if colour and self._colours else text, file=self._stream, flush=True)

    def _wrapped(self, text: str, first: str, rest: str) -> str:
        return textwrap.fill(text, 100, initial_indent=first, subsequent_indent=rest, break_long_words=False)

    def title(self, text: str) -> None:
        """Once, at the top."""
        self._write(text, "1")
        self._write("=" * len(text))

    def paragraph(self, text: str) -> None:
        """Words between the steps."""
        self._write(self._wrapped(text, "", ""))

    def chapter(self, text: str) -> None:
        """One device."""
        self._number = 0
        self._write()
        self._write(text, "1")
        self._write("-" * len(text))

    def step(self, text: str) -> None:
        """What is about to happen, and why."""
        self._number += 1
        self._write(self._wrapped(text, f"{self._number}. ", "   "))

    def command(self, words: list[str]) -> None:
        """The command, as a person would type it."""
        self._write(f"   $ {shlex.join(words)}", "2")

    def result(self, text: str) -> None:
        """What came out."""
        self._write(self._wrapped(text, "   -> ", "      "), "32")

    def table(self, results: list[dict[str, object]]) -> None:
        """One column a device, one row a fact."""
        self._write()
        names = list(results[0])
        width = max(map(len, names))
        columns = [max(min(len(str(result[name]).strip()), _COLUMN) for name in names) for result in results]
        for name in names:
            cells = [str(result[name]).strip() for result in results]
            cells = [cell if len(cell) <= _COLUMN else cell[:20] + "..." + cell[-_COLUMN + 23 :] for cell in cells]
            row = "  ".join(f"{cell:{size}}" for cell, size in zip(cells, columns, strict=True))
            self._write(f"{name.replace('_', ' '):{width}}  {row}".rstrip())
        for result in results:
            self._write(f"key of {result['device']}: {result['key_uri']}")

    def invitation(self, server: Server, devices: list[Device]) -> None:
        """How to talk to what is still running."""
        self._write()
        self._write(
            "Everything keeps running until Ctrl-C. Talk to it from another terminal (bash, in this directory):", "1"
        )
        self._commands(server_commands(server))
        for device in devices:
            self._write()
            self._write(f"{device.name}, {device.hardware}:", "1")
            for line in exports(device):
                self._write(f"    {line}")
            self._commands(device_commands(device))

    def _commands(self, commands: list[tuple[str, str]]) -> None:
        for words, command in commands:
            self._write(f"  {words}")
            self._write(f"    {command}")
