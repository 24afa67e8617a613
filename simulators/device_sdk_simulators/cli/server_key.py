"""Options of `device-sdk-sim server` for /serverkeygen."""

from __future__ import annotations

import argparse
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk_simulators.cli import option_types as types
from device_sdk_simulators.cli.option_files import read_password
from device_sdk_simulators.cli.speaking import UsageError
from device_sdk_simulators.softhsm import SimulatorError

if TYPE_CHECKING:
    from device_sdk_simulators.server import ReferenceServer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    group = parser.add_argument_group("server-side key generation (RFC 7030 section 4.4)")
    group.add_argument(
        "--serverkeygen",
        choices=("clear", "secret", "certificate", "pkcs12"),
        action="append",
        default=[],
        help="serve /serverkeygen, with the private key protected so: by TLS alone, encrypted to a shared secret, encrypted"
        " to the key of a certificate of this CA, in a PKCS#12 file; repeatable",
    )
    group.add_argument(
        "--serverkeygen-type",
        choices=types.KEY_TYPES,
        action="append",
        default=[],
        help="what is generated: the type of the request's own key, if it is one of these, else the first",
    )
    group.add_argument(
        "--serverkeygen-secret",
        type=_secret,
        action="append",
        default=[],
        metavar="HEX=FILE",
        help="identifier and file of a shared secret: hex digits of 16, 24 or 32 bytes, on the first line",
    )
    group.add_argument(
        "--serverkeygen-pkcs12-password",
        type=_password,
        action="append",
        default=[],
        metavar="[USER=]FILE",
        help="password of PKCS#12 files, on the first line: for a user, or for everybody; repeatable",
    )


def read_passwords(options: argparse.Namespace) -> dict[str, bytes]:
    """The passwords of PKCS#12 files by user, before anything is made; UsageError."""
    option = "--serverkeygen-pkcs12-password"
    if bool(options.serverkeygen_pkcs12_password) is not ("pkcs12" in options.serverkeygen):
        raise UsageError(f"--serverkeygen pkcs12 and {option} go together")
    return {user: read_password(file, option).encode() for user, file in options.serverkeygen_pkcs12_password}


def read_secrets(options: argparse.Namespace) -> dict[bytes, bytes]:
    """The shared secrets by their identifiers, before anything is made; UsageError."""
    if not options.serverkeygen and (options.serverkeygen_type or options.serverkeygen_secret):
        raise UsageError("--serverkeygen-type and --serverkeygen-secret need --serverkeygen")
    if options.serverkeygen_secret and "secret" not in options.serverkeygen:
        raise UsageError("--serverkeygen-secret needs --serverkeygen secret")
    if "secret" in options.serverkeygen and not options.serverkeygen_secret and not _has_secrets(options.state):
        raise UsageError("--serverkeygen secret needs --serverkeygen-secret: which one?")
    return {identifier: _key(file) for identifier, file in options.serverkeygen_secret}


def configure(server: ReferenceServer, options: argparse.Namespace, secrets: dict[bytes, bytes]) -> None:
    """Switch on what the options say."""
    server.policy.serverkeygen = set(options.serverkeygen)
    if options.serverkeygen_type:
        server.policy.serverkeygen_types = tuple(options.serverkeygen_type)
    server.est.server_keys.pkcs12_passwords.update(read_passwords(options))
    for identifier, secret in secrets.items():
        server.est.server_keys.secrets.add(identifier, secret)


def _has_secrets(state: Path) -> bool:
    """Whether an earlier run of the server was given some."""
    from device_sdk_simulators.database import Database
    from device_sdk_simulators.est.shared_secrets import SharedSecrets

    path = state / "server.sqlite"
    if not path.exists():
        return False
    database = Database(path)
    try:
        return SharedSecrets(database).exist()
    except sqlite3.Error as error:
        raise SimulatorError(f"{path}: {error}") from error
    finally:
        database.close()


def _key(file: Path) -> bytes:
    try:
        key = bytes.fromhex(read_password(file, "--serverkeygen-secret"))
    except ValueError:
        key = b""
    if len(key) not in (16, 24, 32):
        raise UsageError(f"--serverkeygen-secret {file}: the first line is not hex digits of 16, 24 or 32 bytes")
    return key


def _secret(text: str) -> tuple[bytes, Path]:
    name, equals, file = text.partition("=")
    try:
        identifier = bytes.fromhex(name)
    except ValueError:
        identifier = b""
    if not equals or not file or not 1 <= len(identifier) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEX=FILE with an identifier of 1 to 64 bytes")
    return identifier, Path(file)


def _password(text: str) -> tuple[str, Path]:
    user, equals, file = text.rpartition("=")
    if not file or (equals and not user):
        raise argparse.ArgumentTypeError(f"{text!r} is not [USER=]FILE")
    return user, Path(file)
