"""A command of `device-sdk-sim` that runs as a process of its own and says in JSON when it is ready."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

_READY_S = 30.0
_END_S = 20.0


class CommandProcess:
    """One such command; ready when the `with` block begins.

    Args:
        title: what to call it in errors ("the reference server").
        words: the arguments of `device-sdk-sim`.
        ends_with_us: whether it reads its end from a pipe, so that it ends when this process does, however that ends.

    Attributes:
        facts: what the command said about itself.
    """

    failure: type[Exception] = OSError

    def __init__(self, title: str, words: Sequence[str], *, ends_with_us: bool = False) -> None:
        self.facts: dict[str, object] = {}
        self._title = title
        self._words = [*words, "--json", *(("--until-end-of-input",) if ends_with_us else ())]
        self._ends_with_us = ends_with_us
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start and wait until it is ready; `failure` if it is not, with its own words on standard error before."""
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "device_sdk_simulators.cli.main", *self._words],
            stdin=subprocess.PIPE if self._ends_with_us else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=self._ends_with_us,
        )
        output = process.stdout
        if output is None or not _is_readable(output.fileno(), _READY_S):
            self.kill()
            raise self.failure(f"{self._title} did not get ready in {_READY_S:.0f} s")
        line = output.readline()
        if not line:
            code = process.wait()
            self._close()
            raise self.failure(f"{self._title} did not start (exit code {code})")
        self.facts = json.loads(line)
        return self

    @property
    def pid(self) -> int:
        """Process id."""
        return int(str(self.facts["pid"]))

    @property
    def url(self) -> str:
        """Base URL."""
        return str(self.facts["url"])

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> list[dict[str, object]]:
        """The audit log, one dict a request."""
        lines = Path(str(self.facts["log_file"])).read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def wait(self) -> int:
        """Wait until it ends; its exit code."""
        return self._process.wait() if self._process is not None else 0

    def kill(self) -> None:
        """End it without a chance to tidy up, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def stop(self) -> int:
        """End it in order; its exit code."""
        process = self._process
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self._close()

    def _close(self) -> None:
        process, self._process = self._process, None
        for stream in (process.stdin, process.stdout) if process is not None else ():
            if stream is not None:
                stream.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()


def _is_readable(descriptor: int, seconds: float) -> bool:
    # select() knows descriptors below 1024 only
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(seconds * 1000))
