"""Where the command line takes PINs and passwords from: file, file descriptor, environment, prompt; never from arguments."""

from __future__ import annotations

import hmac
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from device_sdk.cli.files import what_to_do
from device_sdk.cli.precious import secret_is_read
from device_sdk.cli.settings import Settings, Source
from device_sdk.errors import ConfigurationError
from device_sdk.model.secret import NewKey, Secret, SecretProvider

_MAX_SECRET_BYTES = 4096
_ATTEMPTS = 3


def password(settings: Settings) -> Secret | None:
    """The password for the EST or CALE user; asks at the terminal when there is one.

    Raises:
        ConfigurationError: the file or descriptor cannot be read.
    """
    find = _finder(settings, "est.password_file", "est.password_fd", "DEVICE_SDK_PASSWORD")
    return find() if find else _prompt("Password")


def stored_password(settings: Settings) -> Secret | None:
    """The password, if it is to be had without asking anybody, or None."""
    find = _finder(settings, "est.password_file", "est.password_fd", "DEVICE_SDK_PASSWORD")
    with suppress(ConfigurationError):
        return find() if find else None
    return None


def srp_password(settings: Settings) -> Secret | None:
    """The password for TLS without certificates; asks at the terminal when there is one.

    Raises:
        ConfigurationError: the file or descriptor cannot be read.
    """
    find = _finder(settings, "est.srp_password_file", "est.srp_password_fd", "DEVICE_SDK_SRP_PASSWORD")
    return find() if find else _prompt("Password for TLS")


def shared_secret(settings: Settings) -> Secret | None:
    """The secret shared with the CA for Full CMC, or None; nobody is asked, as most requests have none.

    Raises:
        ConfigurationError: the file or descriptor cannot be read, or holds nothing.
    """
    find = _finder(settings, "est.shared_secret_file", "est.shared_secret_fd", "DEVICE_SDK_SHARED_SECRET")
    found = find() if find else None
    if found is not None and not found:
        raise ConfigurationError("the shared secret is empty")
    return found


def one_time_password(settings: Settings) -> Secret | None:
    """The one-time password for a request (otpChallenge of RFC 7894), or None; nobody is asked, as few servers want one.

    Raises:
        ConfigurationError: the file or descriptor cannot be read, or holds nothing.
    """
    return _challenge(settings, "est.otp_file", "est.otp_fd", "DEVICE_SDK_OTP", "the one-time password")


def revocation_password(settings: Settings) -> Secret | None:
    """The password that will revoke the certificate (revocationChallenge of RFC 7894), or None; nobody is asked.

    Raises:
        ConfigurationError: the file or descriptor cannot be read, or holds nothing.
    """
    file, descriptor = "est.revocation_password_file", "est.revocation_password_fd"
    return _challenge(settings, file, descriptor, "DEVICE_SDK_REVOCATION_PASSWORD", "the revocation password")


def pkcs12_password(settings: Settings) -> Secret | None:
    """The password of a PKCS#12 file that the server makes; asks at the terminal when there is one.

    Raises:
        ConfigurationError: the file or descriptor cannot be read.
    """
    find = _finder(settings, "est.pkcs12_password_file", "est.pkcs12_password_fd", "DEVICE_SDK_PKCS12_PASSWORD")
    return find() if find else _prompt("Password of the PKCS#12 file")


def _challenge(settings: Settings, file: str, descriptor: str, variable: str, what: str) -> Secret | None:
    find = _finder(settings, file, descriptor, variable)
    found = find() if find else None
    if found is not None and not found:
        raise ConfigurationError(f"{what} is empty")
    return found


def bearer(settings: Settings, *, ask: bool) -> Secret | None:
    """The bearer token for a CALE registration, or None; asks at the terminal only if told to.

    Raises:
        ConfigurationError: the file or descriptor cannot be read.
    """
    find = _finder(settings, "cale.bearer_file", "cale.bearer_fd", "DEVICE_SDK_BEARER")
    return find() if find else _prompt("Bearer token") if ask else None


def bearer_source(settings: Settings) -> Source:
    """Where it is said where the bearer token is."""
    named = Source.ENVIRONMENT if b"DEVICE_SDK_BEARER" in os.environb else Source.DEFAULT
    return max(settings.source("cale.bearer_file"), settings.source("cale.bearer_fd"), named)


def secret_in(path: str) -> Secret:
    """The secret in a file that an option names, without the newline an editor puts behind it.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    return _from_file(Path(path))


def pin_provider(settings: Settings) -> SecretProvider:
    """What keystores ask when a key's URI names no PIN. A descriptor is read, and a person asked, only once.

    For a key that is being made a person is asked to type it twice.
    """
    known: dict[str, Secret | None] = {}

    def provide(what: str) -> Secret | None:
        find = _finder(settings, "key.pin_file", "key.pin_fd", "DEVICE_SDK_KEY_PIN")
        name = "" if find else what
        if name not in known:
            known[name] = find() if find else _new_pin(what) if isinstance(what, NewKey) else _prompt(f"PIN for {what}")
        return known[name]

    return provide


def _new_pin(what: str) -> Secret | None:
    """A PIN typed twice alike, or None.

    Raises:
        ConfigurationError: it was not, several times.
    """
    if not _is_terminal():
        return None
    with suppress(EOFError):  # Ctrl-D chooses nothing
        for _ in range(_ATTEMPTS):
            first = _typed(f"PIN for the new {what} (Enter alone: none)")
            if not first:
                return None
            if hmac.compare_digest(first.reveal(), _typed("The same PIN again").reveal()):
                return first
            print("the two PINs differ; type it again", file=sys.stderr)
    raise ConfigurationError(
        f"no PIN for the new {what}: it was not typed twice alike, and no key was made",
        hint="run the same command again, or give --key-pin-file",
    )


def passphrase(settings: Settings, what: str) -> Secret | None:
    """The passphrase of a private key that is to be imported, or None; asks at the terminal when there is one.

    Raises:
        ConfigurationError: the file or descriptor cannot be read.
    """
    find = _finder(settings, "import.passphrase_file", "import.passphrase_fd", "DEVICE_SDK_IMPORT_PASSPHRASE")
    return find() if find else _prompt(f"Passphrase of {what}")


def _finder(settings: Settings, file: str, descriptor: str, variable: str) -> Callable[[], Secret] | None:
    """How to get at a secret: what a flag says counts more than the environment, and that more than the configuration."""
    ways: list[tuple[Source, Callable[[], Secret]]] = [
        (settings.source(file), lambda: _from_file(Path(str(settings.get(file))))),
        (settings.source(descriptor), lambda: _from_descriptor(int(settings.number(descriptor) or 0))),
    ]
    if variable.encode() in os.environb:
        ways.append((Source.ENVIRONMENT, lambda: Secret(os.environb[variable.encode()])))
    source, find = max(ways, key=lambda way: way[0])
    return None if source is Source.DEFAULT else find


def _from_file(file: Path) -> Secret:
    try:
        with file.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if stat.S_ISREG(status.st_mode):
                secret_is_read(file, status)
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o004:
                print(f"device-sdk: warning: {file} holds a secret and is readable by everybody", file=sys.stderr)
            return _trimmed(stream.read(_MAX_SECRET_BYTES + 1), str(file))
    except OSError as error:
        words = f"cannot read the secret in {file}: {error.strerror}"
        raise ConfigurationError(words, hint=what_to_do(error, file)) from error


def _from_descriptor(number: int) -> Secret:
    try:
        with os.fdopen(number, "rb", closefd=False) as stream:
            return _trimmed(stream.read(_MAX_SECRET_BYTES + 1), f"file descriptor {number}")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(
            f"cannot read a secret from file descriptor {number}: {reason}",
            hint=f"open it for this command, as a shell does with {number}<FILE",
        ) from error


def _trimmed(raw: bytes, source: str) -> Secret:
    """One trailing newline is the editor's, not the secret's."""
    if len(raw) > _MAX_SECRET_BYTES:
        words = f"the secret in {source} is longer than {_MAX_SECRET_BYTES} bytes"
        raise ConfigurationError(words, hint="is it the file that was meant?")
    return Secret(raw.removesuffix(b"\n").removesuffix(b"\r"))


def _prompt(what: str) -> Secret | None:
    with suppress(EOFError):
        return (_typed(what) or None) if _is_terminal() else None
    return None


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _typed(what: str) -> Secret:
    from getpass import getpass

    return Secret(os.fsencode(getpass(f"{what}: ")))
