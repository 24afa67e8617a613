"""An attribute of the device that a command prints."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from device_sdk.errors import ConfigurationError
from device_sdk.identity.kept_command import KeptCommand
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
    try:
        with KeptCommand(argv) as command:
            output = _read(command, name, deadline, limit_bytes)
            status = command.status(deadline)
    except TimeoutError as error:
        raise ConfigurationError(f"{name} took longer than {timeout_s:g} s and was stopped") from error
    if status != 0:
        raise ConfigurationError(f"{name} failed with exit status {status}")
    return one_line(output, f"the output of {name}")


def run_bounded(
    argv: Sequence[str],
    *,
    timeout_s: float,
    keep_bytes: int,
    environment: Mapping[str, str] | None = None,
    cancelled: threading.Event | None = None,
) -> tuple[int, bytes]:
    """Run a command to its end, and keep the end of what it prints, errors included.

    No shell is involved; standard input is empty. When the time runs over, it is killed with everything it started; so it is
    when this process is killed. What it leaves in the background with its output open counts as not ended.

    Args:
        argv: the program and its arguments.
        timeout_s: until the command has ended, in seconds.
        keep_bytes: of the output, counted from its end.
        environment: its environment, whole; None for this process's own.
        cancelled: set by another thread when it is to be killed.

    Returns:
        The exit status, negative for a signal, and the output.

    Raises:
        ConfigurationError: it cannot be started.
        TimeoutError: it took longer.
        InterruptedError: it was cancelled.
    """
    deadline = time.monotonic() + timeout_s
    kept = bytearray()
    with KeptCommand(argv, errors_too=True, environment=environment) as command:
        for chunk in command.output(deadline, keep_bytes, cancelled):
            kept += chunk
            del kept[:-keep_bytes]
        return command.status(deadline, cancelled), bytes(kept)


def _read(command: KeptCommand, name: str, deadline: float, limit_bytes: int) -> bytes:
    """All of its output; TimeoutError at the deadline."""
    output = bytearray()
    for chunk in command.output(deadline, limit_bytes + 1):
        output += chunk
        if len(output) > limit_bytes:
            raise ConfigurationError(f"{name} printed more than {limit_bytes} bytes")
    return bytes(output)
