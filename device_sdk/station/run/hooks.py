"""Commands of the profile on the station: without a shell, with a device's words as whole arguments and variables."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Mapping

from device_sdk.errors import BenchError, WrongDeviceError
from device_sdk.identity.command import run_bounded
from device_sdk.station.profile import Hook
from device_sdk.station.profile.words import filled

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")
_PREFIX = "BENCH_"
_MAX_VALUE = 256
_KEPT_BYTES = 64 * 1024
_EXCERPT = 2000


def arguments(hook: Hook, words: Mapping[str, str]) -> tuple[str, ...]:
    """The command line of a hook for one device.

    Raises:
        WrongDeviceError: the device did not say what is needed, or something that would be more than a value there: an option, a
            way out of a directory.
    """
    return tuple(_argument(template, words) for template in hook.command)


def _argument(template: str, words: Mapping[str, str]) -> str:
    found = filled(template, words)
    said = {name: word for name, word in words.items() if f"${{{name}}}" in template and name != "line"}
    for name, word in said.items():
        if word.startswith("/") or ".." in re.split(r"[/\\]", word):
            raise WrongDeviceError(f"what this device says for ${{{name}}} looks like a path: {ascii(word)[:80]}")
    if template.startswith("${") and found.startswith("-"):
        raise WrongDeviceError(f"what this device says would be an option of {template!r}: {ascii(found)[:80]}")
    return found


def environment(words: Mapping[str, str]) -> dict[str, str]:
    """The environment of a hook: a few variables of the station's own, and the device's words. What cannot be one is left out."""
    found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    for name, word in words.items():
        if word and len(word) <= _MAX_VALUE and word.isprintable():
            found[_PREFIX + re.sub(r"[^A-Z0-9]", "_", name.upper())] = word
    return found


def run_hook(hook: Hook, words: Mapping[str, str], cancelled: threading.Event) -> dict[str, object]:
    """Run a hook on this station; what the ledger is told of it.

    Args:
        hook: which.
        words: the device's.
        cancelled: set when it is to be killed.

    Raises:
        WrongDeviceError: see `arguments`.
        ConfigurationError: it cannot be started.
        BenchError: it failed, took too long or was cancelled; has the end of what it printed.
    """
    command = arguments(hook, words)
    try:
        status, output = run_bounded(
            command,
            timeout_s=hook.timeout_s,
            keep_bytes=_KEPT_BYTES,
            environment=environment(words),
            cancelled=cancelled,
        )
    except InterruptedError as error:
        raise BenchError(
            f"{hook.name}: {command[0]} was ended with the run", hint="the next run begins this command anew"
        ) from error
    except TimeoutError as error:
        raise BenchError(
            f"{hook.name}: {command[0]} took longer than {hook.timeout_s:g} s and was stopped",
            hint="timeout_s in the profile",
        ) from error
    return checked(hook, status, output.decode("utf-8", "replace"))


def checked(hook: Hook, status: int, output: str) -> dict[str, object]:
    """What a hook's end means.

    Raises:
        BenchError: its exit status is not 0.
    """
    clean = "".join(char if char.isprintable() or char == "\n" else "?" for char in output).strip()[-_EXCERPT:]
    if status != 0:
        how = f"was ended by signal {-status}" if status < 0 else f"failed with exit status {status}"
        raise BenchError(
            f"{hook.name}: {hook.command[0]} {how}", hint="what it printed says more", excerpt=clean or None
        )
    return {"exit": 0} | ({"output": clean[-200:]} if clean else {})
