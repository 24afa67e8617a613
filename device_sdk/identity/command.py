"""An attribute of the device that a command prints."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from device_sdk.errors import ConfigurationError
from device_sdk.identity.roots import MAX_BYTES, one_line


def command_output(argv: Sequence[str], *, timeout_s: float = 10.0, limit_bytes: int = MAX_BYTES) -> str:
    """What a command prints on its standard output: one line of text, without the white space around it.

    No shell is involved; standard input is empty, standard error stays where it was. When the time or the output runs
    over, the command is killed with everything it started.

    Args:
        argv: the program and its arguments.
        timeout_s: until the command has ended, in seconds.
        limit_bytes: largest acceptable output.

    Raises:
        ConfigurationError: it cannot be started, fails, takes too long, prints too much, nothing, or several lines.
    """
    if not argv or not argv[0]:
        raise ConfigurationError("the command for an attribute of the device is empty")
    name = argv[0]
    deadline = time.monotonic() + timeout_s
    process = _started(argv)
    try:
        output = _read(process.stdout, name, deadline, limit_bytes)
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{name} took longer than {timeout_s:g} s and was stopped") from error
    finally:
        _stop(process)
    if status != 0:
        raise ConfigurationError(f"{name} failed with exit status {status}")
    return one_line(output, f"the output of {name}")


def run_bounded(
    argv: Sequence[str], *, timeout_s: float, keep_bytes: int, environment: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Run a command to its end, and keep the end of what it prints, errors included.

    No shell is involved; standard input is empty. When the time runs over, it is killed with everything it started. What
    it leaves in the background with its output open counts as not ended.

    Args:
        argv: the program and its arguments.
        timeout_s: until the command has ended, in seconds.
        keep_bytes: of the output, counted from its end.
        environment: its environment, whole; None for this process's own.

    Returns:
        The exit status, negative for a signal, and the output.

    Raises:
        ConfigurationError: it cannot be started.
        TimeoutError: it took longer.
    """
    deadline = time.monotonic() + timeout_s
    process = _started(argv, stderr=subprocess.STDOUT, environment=environment)
    kept = bytearray()
    try:
        for chunk in _chunks(process.stdout, deadline, keep_bytes):
            kept += chunk
            del kept[:-keep_bytes]
        return process.wait(max(0.0, deadline - time.monotonic())), bytes(kept)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    finally:
        _stop(process)


def _started(
    argv: Sequence[str], *, stderr: int | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"cannot start {argv[0]}: {error}") from error


def _read(stream: IO[bytes] | None, name: str, deadline: float, limit_bytes: int) -> bytes:
    """A pipe up to its end; TimeoutError at the deadline."""
    output = bytearray()
    for chunk in _chunks(stream, deadline, limit_bytes + 1):
        output += chunk
        if len(output) > limit_bytes:
            raise ConfigurationError(f"{name} printed more than {limit_bytes} bytes")
    return bytes(output)


def _chunks(stream: IO[bytes] | None, deadline: float, size: int) -> Iterator[bytes]:
    assert stream is not None  # noqa: S101  # asked for with PIPE
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise TimeoutError
            chunk = os.read(stream.fileno(), size)
            if not chunk:
                return
            yield chunk


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe, and kill a command that has not ended, with its whole process group."""
    if process.stdout is not None:
        process.stdout.close()
    # Only a leader not waited for yet keeps the group's id from being given to somebody else.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
