"""Forked programs that run beside the test, to be killed in the middle of something; see `tests.warm`."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.warm import _may_be_forked, _server


class Running:
    """As subprocess.Popen([sys.executable, *words], stdout=PIPE, stderr=PIPE, text=True); leaving the block kills it.

    Args:
        words: a file with a program, or "-m" and a module, and its arguments.
    """

    def __init__(self, words: Sequence[object]) -> None:
        self._line = [str(one) for one in words]
        self._code: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        out, err = os.pipe(), os.pipe()
        if _may_be_forked(os.environ):
            self._answer, self._pidfd = self._forked(out[1], err[1])
        else:
            command = [sys.executable, *self._line]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out[1], stderr=err[1])
        for one in (out[1], err[1]):
            os.close(one)
        self.stdout, self.stderr = os.fdopen(out[0]), os.fdopen(err[0])

    def _forked(self, out: int, err: int) -> tuple[socket.socket, int]:
        package = self._line[1].partition(".")[0] if self._line[0] == "-m" else "device_sdk"
        request = {"words": self._line, "env": dict(os.environ), "cwd": str(Path.cwd()), "pass_fds": []}
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        with theirs:
            descriptors = [theirs.fileno(), nothing, out, err]
            socket.send_fds(_server(package), [json.dumps(request).encode()], descriptors)
        os.close(nothing)
        return answer, os.pidfd_open(int(answer.recv(32)))

    def send_signal(self, number: int) -> None:
        """Nothing happens to one that has ended."""
        if self._process is not None:
            self._process.send_signal(number)
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def poll(self) -> int | None:
        """Its exit code, if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float = 60) -> int:
        if self._process is not None:
            return self._process.wait(timeout)
        if self._code is None:
            if not select.select([self._answer], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._line, timeout)
            self._code = int(self._answer.recv(32))
        return self._code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()
        self.stdout.close()
        self.stderr.close()
        if self._process is None:
            self._answer.close()
            os.close(self._pidfd)
