"""A boot loader much like U-Boot: autoboot that a key stops, a prompt, an environment."""

from __future__ import annotations

import shlex
from collections.abc import Callable

_LONGEST = 256
_BANNER = (
    b"\r\n\r\nU-Boot 2025.01-simulated (Jan 01 2025 - 00:00:00 +0000)\r\n\r\nCPU:   simulated\r\nDRAM:  512 MiB\r\n"
)


def _split(line: str) -> list[list[str]]:
    """Commands with their words, quotes taken off; raises ValueError."""
    words = shlex.shlex(line, posix=True, punctuation_chars=";")
    words.whitespace_split, words.commenters = True, ""
    commands: list[list[str]] = [[]]
    for one in words:
        if one.strip(";"):
            commands[-1].append(one)
        else:
            commands.append([])
    return [one for one in commands if one]


class BootLoader:
    """The boot loader of one board.

    Args:
        environment: its variables; `saveenv` writes them back here.
        say: takes output.
        boot: called when the system is to be started.
        reset: called for `reset`.
        prompt: what it asks with.
    """

    def __init__(
        self,
        environment: dict[str, str],
        say: Callable[[bytes], None],
        boot: Callable[[], None],
        reset: Callable[[], None],
        prompt: bytes = b"=> ",
    ) -> None:
        self._saved, self._environment = environment, dict(environment)
        self._say, self._boot, self._reset, self._prompt = say, boot, reset, prompt
        self._counting = True
        self._left = False
        self._line = bytearray()

    def variable(self, name: str) -> str | None:
        """What one is now, saved or not."""
        return self._environment.get(name)

    def begin(self) -> None:
        """Say hello, and how long there is to stop it."""
        self._say(_BANNER + f"Hit any key to stop autoboot: {self._seconds:2d} ".encode())

    @property
    def _seconds(self) -> int:
        delay = self._environment.get("bootdelay", "2")
        return int(delay) if delay.isdigit() else 2

    def count(self, left: int) -> bool:
        """A second has passed; whether it still counts. At none left it boots."""
        if not self._counting:
            return False
        self._say(f"\b\b\b{left:2d} ".encode())
        if left:
            return True
        self._counting = False
        self._say(b"\r\n")
        self._boot()
        return False

    def hear(self, data: bytes) -> None:
        """Keys."""
        if self._counting and data:
            self._counting = False
            self._say(b"\r\n" + self._prompt)
            data = data[1:]
        for byte in data:
            # what is typed while the system starts is lost
            if not self._left:
                self._key(byte)

    def _key(self, byte: int) -> None:
        if byte in b"\r\n":
            line, self._line = self._line.decode("ascii", "replace"), bytearray()
            self._say(b"\r\n")
            self._commands(line)
        elif byte == 3:
            self._line.clear()
            self._say(b"<INTERRUPT>\r\n" + self._prompt)
        elif byte in (8, 127):
            if self._line:
                self._line.pop()
                self._say(b"\b \b")
        elif 32 <= byte < 127:
            self._print(byte)

    def _print(self, byte: int) -> None:
        if len(self._line) >= _LONGEST:
            self._say(b"\a")
        else:
            self._line.append(byte)
            self._say(bytes([byte]))

    def _commands(self, line: str) -> None:
        try:
            commands = _split(line)
        except ValueError:  # a quote without its end
            commands = []
            self._say(b"syntax error\r\n")
        if not any(self._command(words) for words in commands):
            self._say(self._prompt)

    def _command(self, words: list[str]) -> bool:
        """Do one; whether it ends the prompt."""
        name, *rest = words
        if name in ("boot", "bootd") or words == ["run", "bootcmd"]:
            self._left = True
            self._boot()
            return True
        if name == "reset":
            self._left = True
            self._say(b"resetting ...\r\n")
            self._reset()
            return True
        self._say(self._answer(name, rest).replace("\n", "\r\n").encode())
        return False

    def _answer(self, name: str, rest: list[str]) -> str:
        if name in ("printenv", "env") and rest[:1] != ["save"]:
            return self._print_environment([one for one in rest if one != "print"])
        if name in ("setenv", "set") and rest:
            self._environment.pop(rest[0], None)
            if rest[1:]:
                self._environment[rest[0]] = " ".join(rest[1:])
            return ""
        if name in ("saveenv", "save", "env"):
            self._saved.clear()
            self._saved.update(self._environment)
            return "Saving Environment to SPIFlash... Erasing SPI flash...Writing to SPI flash...done\nOK\n"
        if name == "echo":
            return " ".join(rest) + "\n"
        if name == "version":
            return "U-Boot 2025.01-simulated (Jan 01 2025 - 00:00:00 +0000)\n"
        return f"Unknown command '{name}' - try 'help'\n"

    def _print_environment(self, names: list[str]) -> str:
        have = self._environment
        if not names:
            size = sum(len(name) + len(value) + 2 for name, value in have.items())
            return "".join(f"{name}={value}\n" for name, value in sorted(have.items())) + (
                f"\nEnvironment size: {size}/65532 bytes\n"
            )
        return "".join(
            f"{name}={have[name]}\n" if name in have else f'## Error: "{name}" not defined\n' for name in names
        )
