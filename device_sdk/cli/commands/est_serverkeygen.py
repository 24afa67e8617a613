"""`device-sdk est serverkeygen`: a key and a certificate from the server (RFC 7030 section 4.4, RFC 8295 section 8)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from device_sdk.cli import inputs, waiting
from device_sdk.cli.delivery import deliver, keeping_early
from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.half_done import HalfDone
from device_sdk.cli.key_output import RESCUE_NAME, KeyOutput
from device_sdk.cli.output import Output
from device_sdk.cli.package_options import add_returns, add_signers, returned, signers
from device_sdk.cli.pem import certificates_from, describe, pem_of
from device_sdk.cli.secrets import pkcs12_password, secret_in
from device_sdk.cli.settings import Settings, Source, add_settings
from device_sdk.errors import ClockError, ConfigurationError, KeyStoreError

if TYPE_CHECKING:
    from device_sdk.client.est import ServerKey, SharedKey
    from device_sdk.client.est.packages import Packages
    from device_sdk.client.est.server_key import ServerKeyForms
    from device_sdk.model.trust import TlsIdentity
    from device_sdk.protocols.est.server_key_request import ProtectionKey

Generate: TypeAlias = "Callable[[argparse.Namespace, Settings, ExitStack, Output], Generated]"
_DIGITS = "two hex digits a byte: the secret has 16, 24 or 32 bytes, the identifier 1 to 64"


@dataclass(frozen=True)
class Generated:
    """A key that came.

    Attributes:
        key: it and its certificate, checked.
        packages: takes receipts and errors; None where nothing goes back.
    """

    key: ServerKey
    packages: Packages | None = None


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
        "--pkcs12", action="store_true", help="have it in a PKCS#12 file, protected by a password (RFC 8295 section 8.3)"
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
        "--place", metavar="TARGET", help="`where` of an entry of type 0020 to 0022 (default: the operation's own place)"
    )
    add_returns(operation)


def run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Ask the server for a key, and put it and its certificate where they belong."""
    inputs.require_wait(settings)
    return obtained(_generated, options, settings, out)


def obtained(generate: Generate, options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Put a key and its certificate where they belong, whichever way they come; gives the exit code.

    Args:
        generate: gives them, checked.
        options: of the command.
        settings: of the command.
        out: of the command.
    """
    check(options)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        half_done = HalfDone(options.key_out, options.rescue, file)
        earlier = half_done.resume(settings)
        if earlier is not None:
            return _finish(*earlier, half_done, file, out)
        place = opened.enter_context(KeyOutput(options.key_out, options.rescue, settings))
        opened.enter_context(half_done)
        try:
            generated = generate(options, settings, opened, out)
        except ClockError as error:
            return _store_early(error, place, half_done, file, out)
        return _store(generated, place, half_done, file, out)


def _generated(options: argparse.Namespace, settings: Settings, opened: ExitStack, out: Output) -> Generated:
    from device_sdk.cli.commands import est
    from device_sdk.model.keys import KeyType

    kind = settings.text("key.type")
    accepted = forms(options, settings)
    decrypt = protection(options, settings, opened)
    identity = _identity(options, settings, opened)
    signer = None
    if identity is None and settings.source("key.uri") is Source.FLAG:
        signer = inputs.open_key(settings.require("key.uri"), settings, opened)
    client = opened.enter_context(est._client(settings, out, identity))
    key = client.serverkeygen(
        est._enrolment_spec(settings, identity, change_name=False),
        signer,
        decrypt=decrypt,
        allow_clear=options.allow_clear,
        key_type=KeyType(kind) if kind else None,
        forms=accepted,
        wait_s=inputs.wait(settings),
        progress=waiting.patience(out),
    )
    return Generated(key, client.packages if key.requests and not options.no_returns else None)


def _store(come: Generated, place: KeyOutput, half_done: HalfDone, file: OutputFile, out: Output) -> int:
    """The key first; the certificate is delivered whatever became of it."""
    generated, packages = come.key, come.packages
    for note in generated.differences:
        out.say(f"note: {note}")
    pem = pem_of(generated.chain)
    data = {"certificate": describe(generated.certificate), "pem": pem.decode(), "notes": list(generated.differences)}
    half_done.begin(pem, out)
    try:
        data |= place.store(generated.private_key, pem)
    except (KeyStoreError, ConfigurationError) as error:
        if packages is not None:
            packages.return_key_error(generated)
        return _not_stored(error, pem, data, half_done, file, out)
    data |= returned(generated, packages, out) if packages is not None else {}
    code = deliver(file, pem, data, out)
    half_done.end()
    return code


def _store_early(early: ClockError, place: KeyOutput, half_done: HalfDone, file: OutputFile, out: Output) -> int:
    """A key whose certificate is not valid yet cannot be asked for again: both go where they would have gone."""
    from device_sdk.model.secret import Secret

    if early.pem is None or not isinstance(early.private_key, Secret):
        raise early
    half_done.begin(early.pem.encode(), out)
    try:
        where = place.store(early.private_key, early.pem.encode())
    except (KeyStoreError, ConfigurationError) as error:
        return _not_stored(error, early.pem.encode(), {"pem": early.pem}, half_done, file, out)
    _deliver_early(early, where, half_done, file, out)


def _deliver_early(
    early: ClockError, where: dict[str, str], half_done: HalfDone, file: OutputFile, out: Output
) -> NoReturn:
    try:
        with keeping_early(file, out):
            raise early
    except ClockError:
        half_done.end()
        early.hint = f"the private key is in {', '.join(where.values())}, {early.hint}"
        raise


def _finish(pem: bytes, where: dict[str, str], half_done: HalfDone, file: OutputFile, out: Output) -> int:
    """What an earlier run had left to do: the certificate, whose key is stored."""
    from datetime import UTC, datetime

    from device_sdk.protocols.est.issued import check_not_before

    chain = certificates_from(pem, "")
    try:
        check_not_before(chain, datetime.now(UTC))
    except ClockError as early:
        _deliver_early(early, where, half_done, file, out)
    notes = ["key and certificate came with an earlier run of this command, which did not end"]
    out.say(f"note: {notes[0]}")
    data = {"certificate": describe(chain[0]), "pem": pem.decode(), "notes": notes} | where
    code = deliver(file, pem, data, out)
    half_done.end()
    return code


def _not_stored(
    error: KeyStoreError | ConfigurationError,
    pem: bytes,
    data: dict[str, Any],
    half_done: HalfDone,
    file: OutputFile,
    out: Output,
) -> int:
    """The certificate is delivered all the same; gives the exit code."""
    if file.path:
        file.write(pem)
        data = data | {"file": file.path}
    elif not out.as_json:
        out.content(pem)
    out.error(error, data)
    half_done.end()
    return error.exit_code


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


def _identity(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> TlsIdentity | None:
    if options.tls_cert:
        return inputs.tls_identity(options.tls_cert, options.tls_key, settings, opened)
    if options.cert:
        return inputs.tls_identity(options.cert, settings.require("key.uri"), settings, opened)
    return None
