"""Consoles on real ptys: a getty and a real shell at one end, a line of ours at the other, a cable that can be bad between them."""

from __future__ import annotations

import contextlib
import os
import random
import select
import subprocess
import sys
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

USER, PASSWORD = "root", "tür & 'zu' 42"


class Cable(threading.Thread):
    """Carries bytes between two ptys' masters; `noise` flips a bit in that share of them, `cut` is asked for each direction."""

    def __init__(self, device: int, station: int) -> None:
        super().__init__(daemon=True)
        self._ends = {device: station, station: device}
        self._device = device
        for end in self._ends:
            os.set_blocking(end, False)
        self._stop_read, self._stop_write = os.pipe()
        self.noise = 0.0
        self.to_device = bytearray()
        self.random = random.Random(7)  # noqa: S311 - the same noise every time
        self.spoil: Callable[[bytes], bytes] = lambda data: data
        self.start()

    def run(self) -> None:
        while True:
            ready, _, _ = select.select([*self._ends, self._stop_read], [], [])
            for end in ready:
                try:
                    data = os.read(end, 4096) if end != self._stop_read else b""
                except OSError:
                    data = b""
                if not data:
                    return
                if end != self._device:
                    self.to_device += data
                else:
                    data = self.spoil(data)
                if not self._pass_on(self._ends[end], self._noisy(data)):
                    return

    def _pass_on(self, end: int, data: bytes) -> bool:
        while data:
            ready, _, _ = select.select([self._stop_read], [end], [])
            if ready:
                return False
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(end, data[:1024]) :]
        return True

    def _noisy(self, data: bytes) -> bytes:
        if not self.noise:
            return data
        return bytes(
            byte ^ (1 << self.random.randrange(8)) if self.random.random() < self.noise else byte for byte in data
        )

    def stop(self) -> None:
        os.write(self._stop_write, b"x")
        self.join()
        os.close(self._stop_read)
        os.close(self._stop_write)


class Console:
    """A device's console; `path` is what a line opens."""

    def __init__(
        self,
        directory: Path,
        shell: list[str],
        user: str = USER,
        password: str | None = PASSWORD,
        env: dict[str, str] | None = None,
    ) -> None:
        self.password_file = directory / "password"
        if password is not None:
            self.password_file.write_text(password, encoding="utf-8")
        self._near, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave  # kept open, so that the far end outlives a line that is closed
        far, device = os.openpty()
        self._far = far
        self._open = {far, self._near, slave}
        command = [
            sys.executable,
            "-I",
            str(Path(__file__).with_name("getty.py")),
            "vd0001",
            user,
            str(self.password_file),
            *shell,
        ]
        self.process = subprocess.Popen(
            command,
            stdin=device,
            stdout=device,
            stderr=device,
            cwd=directory,
            env={
                "PATH": os.environ["PATH"],
                "TERM": "vt100",
                "PS1": "\\u@vd0001:~# ",
                "HOME": str(directory),
                **(env or {}),
            },
            start_new_session=True,
        )
        os.close(device)
        self.cable = Cable(far, self._near)

    @property
    def refused(self) -> list[str]:
        log = self.password_file.with_suffix(".refused")
        return log.read_text(encoding="utf-8").split() if log.exists() else []

    def hang_up(self) -> None:
        """Pull the cable out at the station's end."""
        self.cable.stop()
        self._close_ends(self._slave, self._near)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.cable.is_alive():
            self.cable.stop()
        self._close_ends(self._far, self._near, self._slave)

    def _close_ends(self, *ends: int) -> None:
        """Each once: somebody else may have that number by the second time."""
        for end in ends:
            if end in self._open:
                self._open.remove(end)
                os.close(end)


SHELLS = {"bash": ["bash", "--norc", "-i"], "dash": ["dash", "-i"], "posix": ["bash", "--posix", "--norc", "-i"]}


@pytest.fixture
def make_console(tmp_path: Path) -> Iterator[Callable[..., Console]]:
    """Makes consoles; `make_console(shell="dash", user=..., password=...)`."""
    made: list[Console] = []

    def make(shell: str = "bash", **options: Any) -> Console:
        directory = tmp_path / f"device{len(made)}"
        directory.mkdir()
        made.append(Console(directory, SHELLS[shell], **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
