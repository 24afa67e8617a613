"""Python programs as processes of their own, started quickly; see `server`.

Whoever tests the start itself (imports, the environment's part in it, what /proc says of it) starts `sys.executable`.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

_SERVER = Path(__file__).with_name("server.py")
# Python, OpenSSL and the loader look at these before a program does; coverage wants processes that it starts
_EARLY = ("PYTHON", "LC_", "LANG", "OPENSSL", "SSL_", "LD_", "COV")


def run(words: Sequence[object], *, text: bool = False, **options: Any) -> subprocess.CompletedProcess[Any]:
    """As subprocess.run([sys.executable, *words], capture_output=True, **options); stdin is /dev/null or `input`."""
    line = [str(one) for one in words]
    environment = dict(options.pop("env", None) or os.environ)
    if options.keys() <= {"input", "timeout", "cwd", "pass_fds"} and _may_be_forked(environment):
        done = _forked(line, environment, **options)
    else:
        streams = {} if "input" in options else {"stdin": subprocess.DEVNULL}
        command = [sys.executable, *line]
        done = subprocess.run(command, env=environment, capture_output=True, check=False, **streams, **options)
    if text:
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
    return done


def _forked(
    words: list[str],
    environment: dict[str, str],
    *,
    input: bytes | None = None,  # noqa: A002  # as subprocess calls it
    timeout: float = 120,
    cwd: str | os.PathLike[str] | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.CompletedProcess[bytes]:
    package = words[1].partition(".")[0] if words[0] == "-m" else "device_sdk"
    request = {"words": words, "env": environment, "cwd": str(cwd or Path.cwd()), "pass_fds": pass_fds}
    with _Pipes(input) as pipes:
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answer, theirs:
            descriptors = [theirs.fileno(), *pipes.theirs, *pass_fds]
            socket.send_fds(_server(package), [json.dumps(request).encode()], descriptors)
            theirs.close()
            pipes.close_theirs()
            pid = int(answer.recv(32))
            try:
                out, err = pipes.communicate(time.monotonic() + timeout)
                answer.settimeout(timeout)
                code = int(answer.recv(32))
            except BaseException:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                raise
    return subprocess.CompletedProcess([sys.executable, *words], code, out, err)


def _may_be_forked(environment: Mapping[str, str]) -> bool:
    early = [name for name in {*os.environ, *environment} if name.startswith(_EARLY)]
    same = all(os.environ.get(name) == environment.get(name) for name in early)
    return same and not any(name.startswith("COV") for name in early)


@cache
def _server(package: str) -> socket.socket:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = [sys.executable, str(_SERVER), str(theirs.fileno()), package]
    process = subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    theirs.close()

    def end() -> None:
        mine.close()
        process.wait(20)

    atexit.register(end)
    return mine


class _Pipes:
    """stdin, stdout and stderr of a program, and the other ends."""

    def __init__(self, given: bytes | None) -> None:
        self._given = memoryview(given or b"")
        first = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) if given is None else None
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        self._in: int | None = None
        if first is None:
            first, self._in = os.pipe()
        self.theirs = [first, out, err]
        self._mine = {one for one in (self._in, self._out, self._err) if one is not None}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_theirs()
        for one in list(self._mine):
            self._close(one)

    def _close(self, one: int) -> None:
        self._mine.remove(one)
        os.close(one)

    def close_theirs(self) -> None:
        """The program has them."""
        while self.theirs:
            os.close(self.theirs.pop())

    def communicate(self, until: float) -> tuple[bytes, bytes]:
        """Write what there is to be read, read what is written."""
        said: dict[int, list[bytes]] = {self._out: [], self._err: []}
        with selectors.DefaultSelector() as ready:
            for one in self._mine:
                ready.register(one, selectors.EVENT_WRITE if one == self._in else selectors.EVENT_READ)
            while ready.get_map():
                found = ready.select(until - time.monotonic())
                if time.monotonic() > until:
                    raise TimeoutError("the program did not end in time")
                for key, _ in found:
                    if self._over(key.fd, said):
                        ready.unregister(key.fd)
                        self._close(key.fd)
        return b"".join(said[self._out]), b"".join(said[self._err])

    def _over(self, one: int, said: dict[int, list[bytes]]) -> bool:
        if one != self._in:
            piece = os.read(one, 65536)
            said[one].append(piece)
            return not piece
        try:
            self._given = self._given[os.write(one, self._given[:4096]) :]
        except BrokenPipeError:
            return True
        return not self._given
