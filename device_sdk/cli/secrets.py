"""Where the command line takes PINs and passwords from: file, file descriptor, environment, prompt; never from arguments."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from device_sdk.cli.settings import Settings
from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import Secret, SecretProvider

_MAX_SECRET_BYTES = 4096


def password(settings: Settings) -> Secret | None:
    """The password for the EST or CALE user; asks at the terminal when there is one.

    Raises:
        ConfigurationError: the file or descriptor cannot be read.
    """
    return _find(settings, "est.password_file", "est.password_fd", "DEVICE_SDK_PASSWORD") or _prompt("Password")


def pin_provider(settings: Settings) -> SecretProvider:
    """What keystores ask when a key's URI names no PIN."""

    def provide(what: str) -> Secret | None:
        found = _find(settings, "key.pin_file", "key.pin_fd", "DEVICE_SDK_KEY_PIN")
        return found or _prompt(f"PIN for {what}")

    return provide


def _find(settings: Settings, file_setting: str, fd_setting: str, variable: str) -> Secret | None:
    if file := settings.text(file_setting):
        return _from_file(Path(file))
    number = settings.number(fd_setting)
    if number is not None:
        return _from_descriptor(int(number))
    value = os.environ.get(variable)
    return Secret(value) if value is not None else None


def _from_file(file: Path) -> Secret:
    try:
        with file.open("rb") as stream:
            if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) and os.fstat(stream.fileno()).st_mode & 0o004:
                print(f"device-sdk: warning: {file} holds a secret and is readable by everybody", file=sys.stderr)
            return _trimmed(stream.read(_MAX_SECRET_BYTES + 1), str(file))
    except OSError as error:
        raise ConfigurationError(f"cannot read the secret in {file}: {error.strerror}") from error


def _from_descriptor(number: int) -> Secret:
    try:
        with os.fdopen(number, "rb", closefd=False) as stream:
            return _trimmed(stream.read(_MAX_SECRET_BYTES + 1), f"file descriptor {number}")
    except OSError as error:
        raise ConfigurationError(f"cannot read a secret from file descriptor {number}: {error.strerror}") from error


def _trimmed(raw: bytes, source: str) -> Secret:
    """One trailing newline is the editor's, not the secret's."""
    if len(raw) > _MAX_SECRET_BYTES:
        raise ConfigurationError(f"the secret in {source} is longer than {_MAX_SECRET_BYTES} bytes")
    return Secret(raw.removesuffix(b"\n").removesuffix(b"\r"))


def _prompt(what: str) -> Secret | None:
    if not sys.stdin.isatty():
        return None
    from getpass import getpass

    answer = getpass(f"{what}: ")
    return Secret(answer) if answer else None
