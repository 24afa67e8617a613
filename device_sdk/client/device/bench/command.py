"""A command that a station names: a self test, mostly."""

from __future__ import annotations

from device_sdk.errors import BenchError, ConfigurationError
from device_sdk.identity.command import run_bounded

MAX_OUTPUT_BYTES = 64 * 1024
_MAX_WORDS, _MAX_WORD = 64, 4096
_MAX_TIMEOUT_S = 3600.0


def run_command(command: tuple[str, ...], timeout_s: float, *, allowed: bool) -> tuple[int, str]:
    """Run it without a shell; its exit status (128 and the signal's number, if one ended it) and the end of its output.

    See DeviceBench.run.
    """
    if not allowed:
        raise ConfigurationError(
            "this device runs no programs for a station", hint="allow that where the device's side is started"
        )
    if not 0 < len(command) <= _MAX_WORDS or any(len(word) > _MAX_WORD or "\0" in word for word in command):
        raise ConfigurationError("the command has no words, too many, or words that are too long")
    if not 0 < timeout_s <= _MAX_TIMEOUT_S:
        raise ConfigurationError(f"the time for a command is between 0 and {_MAX_TIMEOUT_S:g} s")
    try:
        status, output = run_bounded(command, timeout_s=timeout_s, keep_bytes=MAX_OUTPUT_BYTES)
    except TimeoutError as error:
        raise BenchError(f"{command[0]} took longer than {timeout_s:g} s and was stopped") from error
    return 128 - status if status < 0 else status, output.decode(errors="replace")
