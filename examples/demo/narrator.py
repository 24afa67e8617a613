"""What the demonstration prints for the person watching."""

from __future__ import annotations

import shlex
import textwrap
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from device import Device
    from programs import Server


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
        columns = [max(min(len(str(result[name]).strip()), 60) for name in names) for result in results]
        for name in names:
            cells = [str(result[name]).strip() for result in results]
            cells = [cell if len(cell) <= 60 else cell[:28] + "..." + cell[-29:] for cell in cells]
            row = "  ".join(f"{cell:{size}}" for cell, size in zip(cells, columns, strict=True))
            self._write(f"{name.replace('_', ' '):{width}}  {row}".rstrip())

    def invitation(self, server: Server, devices: list[Device]) -> None:
        """How to talk to what is still running."""
        facts: dict[str, Any] = server.facts
        self._write()
        self._write("Everything keeps running until Ctrl-C. Talk to it from another terminal:", "1")
        self._write(f"  curl --cacert {facts['ca_file']} {server.url}/.well-known/est/cacerts | base64 -d | "
                    "openssl pkcs7 -inform DER -print_certs -noout")  # fmt: skip
        self._write(
            f"  openssl s_client -connect {server.url.removeprefix('https://')} -CAfile {facts['ca_file']} </dev/null"
        )
        for device in devices:
            for name, value in device.environment.items():
                self._write(f"  export {name}={shlex.quote(value)}")
            for tool in device.tools:
                self._write(f"  {tool}")
            self._write(f"  openssl x509 -in {device.state}/current.pem -noout -subject -serial -issuer")
