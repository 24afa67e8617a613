"""A command that does not outlive whoever waits for it, not even one that is killed by kill -9."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from device_sdk.errors import ConfigurationError

KEEPER = Path(__file__).with_name("keeper.py")
_LOCALE = "LC_CTYPE"  # Python sets it where nobody did
_LOOK_S = 0.2
_PATIENCE_S = 15.0  # more than the keeper has


class KeptCommand:
    """A command below a keeper (`keeper.py`), which is there before it. As a context manager it ends with the context.

    Left by an exception, or when this process ends, however it does, it is killed with everything it started, in whatever session
    that is; left otherwise, what it started in the background stays. No shell is involved; standard input is empty. What other
    services start for it (a container, a timer), or what runs as another user, is not killed.

    Args:
        argv: the program and its arguments.
        errors_too: standard error goes into the output; otherwise it stays where it was.
        silent: standard output goes nowhere, and `output` has nothing: what stays in the background may keep it open.
        environment: its environment, whole; None for this process's own.

    Raises:
        ConfigurationError: there is no room for another process, or the arguments cannot be any.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        errors_too: bool = False,
        silent: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._name = argv[0]
        variables = os.environ if environment is None else environment
        unwanted = "" if _LOCALE in variables else _LOCALE
        self._status, writer = os.pipe()
        try:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(KEEPER), str(writer), unwanted, *argv],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL if silent else subprocess.PIPE,
                stderr=subprocess.STDOUT if errors_too else None,
                env=environment,
                pass_fds=(writer,),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            os.close(self._status)
            raise ConfigurationError(f"cannot start {self._name}: {error}") from error
        finally:
            os.close(writer)

    def output(self, deadline: float, size: int, cancelled: threading.Event | None = None) -> Iterator[bytes]:
        """What it prints, up to the end of that, in pieces of at most `size`.

        Raises:
            TimeoutError: it goes on at the deadline (time.monotonic()).
            InterruptedError: `cancelled` was set.
        """
        assert self._keeper.stdout is not None  # noqa: S101  # asked for with PIPE
        return _chunks(self._keeper.stdout.fileno(), deadline, size, cancelled)

    def status(self, deadline: float, cancelled: threading.Event | None = None) -> int:
        """Its exit status when it has ended, negative for a signal; raises as `output` does.

        Raises:
            ConfigurationError: it could not be started.
        """
        said = b"".join(_chunks(self._status, deadline, 64, cancelled)).decode()
        first = said.partition("\n")[0]
        if not first:  # somebody ended the keeper, and the command with it, though not what that started
            return self._keeper.wait()
        if first.startswith("e"):
            error = OSError(int(first[1:]), os.strerror(int(first[1:])), self._name)
            raise ConfigurationError(f"cannot start {self._name}: {error}") from error
        return int(first)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        keeper = self._keeper
        assert keeper.stdin is not None  # noqa: S101  # asked for with PIPE
        if kind is None:
            with suppress(BrokenPipeError):
                keeper.stdin.write(b"o")
        keeper.stdin.close()
        if keeper.stdout is not None:
            keeper.stdout.close()
        os.close(self._status)
        try:
            keeper.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()


def _chunks(source: int, deadline: float, size: int, cancelled: threading.Event | None) -> Iterator[bytes]:
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        while True:
            if not selector.select(_left(deadline, cancelled)):
                continue
            chunk = os.read(source, size)
            if not chunk:
                return
            yield chunk


def _left(deadline: float, cancelled: threading.Event | None) -> float:
    """How long to wait until the next look; raises TimeoutError or InterruptedError where that was enough."""
    if cancelled is not None and cancelled.is_set():
        raise InterruptedError
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left if cancelled is None else min(left, _LOOK_S)
