"""Options of `est serverkeygen`: how the private key travels, what the answer may be, and where both parts of it go."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from device_sdk.cli import inputs
from device_sdk.cli.files import read_file
from device_sdk.cli.key_output import RESCUE_NAME
from device_sdk.cli.package_options import add_returns, add_signers, signers
from device_sdk.cli.pem import certificates_from
from device_sdk.cli.secrets import pkcs12_password, secret_in
from device_sdk.cli.settings import Settings, add_settings
from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from device_sdk.client.est import SharedKey
    from device_sdk.client.est.server_key import ServerKeyForms
    from device_sdk.protocols.est.server_key_request import ProtectionKey

_DIGITS = "two hex digits a byte: the secret has 16, 24 or 32 bytes, the identifier 1 to 64"


def add_arguments(operation: argparse.ArgumentParser) -> None:
    """Describe what `est serverkeygen` has beyond the other operations."""
    add_settings(operation, *inputs.IDENTITY, *inputs.CHALLENGES, "key.type")
    operation.add_argument("--cert", metavar="FILE", help="certificate for TLS; its key is --key")
    operation.add_argument("--tls-cert", metavar="FILE", help="certificate for TLS whose key is not --key")
    operation.add_argument("--tls-key", metavar="URI", help="the key of --tls-cert")
    operation.add_argument(
        "--key-out",
        metavar="FILE|URI",
        help="where the private key goes: a new file (PKCS#8, mode 0600), or a key URI to import it; never stdout",
    )
    operation.add_argument(
        "--rescue",
        metavar="FILE",
        help=f"where the private key goes if --key-out is a URI and the import fails (default: {RESCUE_NAME})",
    )
    operation.add_argument("--decrypt-key", metavar="URI", help="have the private key encrypted to this key of ours")
    operation.add_argument(
        "--decrypt-cert", metavar="FILE", help="the certificate of --decrypt-key, which the server knows it by"
    )
    operation.add_argument(
        "--decrypt-secret-file",
        metavar="FILE",
        help="have it encrypted to a secret shared with the server: hex digits of 16, 24 or 32 bytes",
    )
    operation.add_argument("--decrypt-id", metavar="HEX", help="identifier of --decrypt-secret-file")
    operation.add_argument(
        "--allow-clear", action="store_true", help="take the private key protected by nothing but TLS"
    )
    operation.add_argument(
        "--pkcs12",
        action="store_true",
        help="have it in a PKCS#12 file, protected by a password (RFC 8295 section 8.3)",
    )
    add_settings(operation, "est.pkcs12_password_file", "est.pkcs12_password_fd")
    operation.add_argument(
        "--pkcs12-legacy", action="store_true", help="take such a file with SHA-1 and 3DES, too; RC2 never"
    )
    add_signers(operation)
    operation.add_argument(
        "--announce",
        action="store_true",
        help="say in the request that encrypted key packages are understood; needs --package-anchors",
    )
    operation.add_argument(
        "--place",
        metavar="TARGET",
        help="`where` of an entry of type 0020 to 0022 (default: the operation's own place)",
    )
    add_returns(operation)


def check(options: argparse.Namespace) -> None:
    """Make sure that the options say one thing.

    Raises:
        ConfigurationError: they do not.
    """
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigurationError("--tls-cert and --tls-key go together")
    if options.tls_cert and options.cert:
        raise ConfigurationError("--tls-cert does not go together with --cert", hint="give one pair")
    if bool(options.decrypt_key) != bool(options.decrypt_cert):
        raise ConfigurationError("--decrypt-key and --decrypt-cert go together")
    if bool(options.decrypt_secret_file) != bool(options.decrypt_id):
        raise ConfigurationError("--decrypt-secret-file and --decrypt-id go together")
    ways = [options.decrypt_key, options.decrypt_secret_file, options.allow_clear, options.pkcs12]
    if sum(map(bool, ways)) != 1:
        raise ConfigurationError(
            "say how the private key is to be protected, one way",
            hint="give --decrypt-key with --decrypt-cert, --decrypt-secret-file with --decrypt-id, --pkcs12, or --allow-clear",
        )
    _check_forms(options)
    if not (options.key_out or options.offline_out):
        raise ConfigurationError("say where the private key goes", hint="give --key-out, a file or a key URI")
    if options.key_out == "-":
        raise ConfigurationError("a private key does not go to standard output", hint="give a file or a key URI")


def _check_forms(options: argparse.Namespace) -> None:
    signed = bool(options.package_anchors or options.allow_unsigned)
    if signed and options.pkcs12:
        raise ConfigurationError(
            "--pkcs12 does not go together with packages of keys", hint="give either it, or --package-anchors"
        )
    if options.announce and not signed:
        raise ConfigurationError("--announce needs --package-anchors: who may sign packages of keys")
    if signed and options.allow_clear:
        raise ConfigurationError(
            "--allow-clear does not go together with packages of keys, which are encrypted",
            hint="give --decrypt-key or --decrypt-secret-file",
        )
    if options.pkcs12_legacy and not options.pkcs12:
        raise ConfigurationError("--pkcs12-legacy needs --pkcs12")


def forms(options: argparse.Namespace, settings: Settings) -> ServerKeyForms:
    """What the server may answer with beyond the forms of RFC 7030.

    Raises:
        ConfigurationError: no password, or a file that cannot be used.
    """
    from device_sdk.client.est.server_key import ServerKeyForms
    from device_sdk.model.pkcs12 import Pkcs12Policy

    pkcs12 = None
    if options.pkcs12:
        password = pkcs12_password(settings)
        if password is None:
            raise ConfigurationError(
                "--pkcs12 needs the password of the file",
                hint="give --pkcs12-password-file, --pkcs12-password-fd or DEVICE_SDK_PKCS12_PASSWORD",
            )
        pkcs12 = Pkcs12Policy(password, allow_legacy=options.pkcs12_legacy)
    signed = options.package_anchors or options.allow_unsigned
    return ServerKeyForms(
        signers(options) if signed else None,
        announce=options.announce,
        pkcs12=pkcs12,
        target=options.place,
        report=not options.no_returns,
    )


def protection(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> ProtectionKey | None:
    """What the private key is to be encrypted to; None for --allow-clear.

    Raises:
        ConfigurationError: a file that is named cannot be read, or holds something else.
        KeyStoreError: the key cannot be opened.
    """
    from device_sdk.client.est import DecryptionKey

    if options.decrypt_key:
        certificate = certificates_from(read_file(options.decrypt_cert), options.decrypt_cert)[0]
        key = inputs.open_key(options.decrypt_key, settings, opened)
        inputs.require_pair(certificate, options.decrypt_cert, key)
        return DecryptionKey(certificate, key)
    return shared_key(options) if options.decrypt_secret_file else None


def shared_key(options: argparse.Namespace) -> SharedKey:
    """The key of --decrypt-secret-file and --decrypt-id.

    Raises:
        ConfigurationError: they hold something else.
    """
    from device_sdk.client.est import SharedKey
    from device_sdk.model.secret import Secret

    digits = secret_in(options.decrypt_secret_file).reveal()
    key = _bytes(digits.decode("ascii", "replace"), f"{options.decrypt_secret_file} does not hold")
    identifier = _bytes(options.decrypt_id, "--decrypt-id is not")
    try:
        return SharedKey(identifier, Secret(key))
    except ConfigurationError as error:
        words = f"--decrypt-id {options.decrypt_id}, secret in {options.decrypt_secret_file}: {error.message}"
        raise ConfigurationError(words, hint=_DIGITS) from None


def _bytes(digits: str, what: str) -> bytes:
    try:
        return bytes.fromhex(digits.strip())
    except ValueError:
        # not chained: the cause would say where in a secret something is wrong
        raise ConfigurationError(f"{what} hex digits", hint=_DIGITS) from None
