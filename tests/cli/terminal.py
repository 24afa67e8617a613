"""A command at a real terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import time

from tests.cli.conftest import COMMAND, Cli
from tests.descriptors import readable


class Terminal:
    """A command at a terminal 100 columns wide."""

    def __init__(self, cli: Cli, *words: object) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        environment = os.environ | cli.environment | {"TERM": "xterm", "COLUMNS": "100"}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            cwd=cli.directory,
            start_new_session=True,
        )
        os.close(slave)
        self._master, self.seen = master, ""

    def close(self) -> None:
        """Leave nothing behind, whatever became of the test."""
        self.process.kill()
        self.process.wait(30)
        with contextlib.suppress(OSError):
            os.close(self._master)

    def until(self, text: str) -> None:
        """Read until the text was shown."""
        end = time.monotonic() + 100
        while text not in self.seen:
            assert time.monotonic() < end, self.seen
            if not self._read():
                break
        assert text in self.seen, self.seen

    def _read(self) -> bool:
        if not readable(self._master, 1):
            return True
        try:
            data = os.read(self._master, 10000)
        except OSError:
            return False
        self.seen += data.decode()
        return bool(data)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        """Read to the end; the exit code."""
        while self._read():
            if self.process.poll() is not None and not readable(self._master, 0):
                break
        return self.process.wait(30)

    def answer(self, question: str, text: str) -> None:
        """Type a line once the question was shown, and wait for what comes next."""
        self.until(question)
        self.seen = self.seen.partition(question)[2]
        self.type(text + "\n")
