"""The demonstration as a person starts it, with temporary files where a test can look at them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Demo:
    """`./run demo` in a session of its own; `words` is what it printed for people so far."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self._words = directory.parent / f"{directory.name}.words"
        self._data = directory.parent / f"{directory.name}.data"
        directory.mkdir()
        with self._words.open("wb") as words, self._data.open("wb") as data:
            self.process = subprocess.Popen(
                [ROOT / "run", "demo", *options],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": str(directory)},
                stdin=subprocess.DEVNULL,
                stdout=data,
                stderr=words,
                start_new_session=True,
            )

    @property
    def words(self) -> str:
        return self._words.read_text()

    @property
    def data(self) -> str:
        return self._data.read_text()

    def wait_for(self, text: str, stream: str = "words") -> None:
        deadline = time.monotonic() + 240
        while text not in getattr(self, stream):
            assert self.process.poll() is None, self.words
            assert time.monotonic() < deadline, self.words
            time.sleep(0.05)

    def end(self) -> int:
        """Wait for the end, however long the machine takes; kills what does not end."""
        try:
            return self.process.wait(timeout=240)
        finally:
            self.process.kill()

    def left_behind(self) -> list[str]:
        """Files and processes of this demonstration that are still there; processes get a moment to go."""
        deadline = time.monotonic() + 60
        while (processes := _processes(str(self.directory))) and time.monotonic() < deadline:
            time.sleep(0.1)
        return [str(path) for path in self.directory.iterdir()] + processes


def _processes(word: str) -> list[str]:
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command: Any = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if word in command and path.parent.name != str(os.getpid()):
            found.append(command)
    return found
