"""`device-sdk est serverkeygen`: a key and a certificate from the server (RFC 7030 section 4.4, RFC 8295 section 8)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from device_sdk.cli import inputs, waiting
from device_sdk.cli.delivery import deliver, keeping_early
from device_sdk.cli.files import OutputFile
from device_sdk.cli.half_done import HalfDone
from device_sdk.cli.key_output import KeyOutput
from device_sdk.cli.output import Output
from device_sdk.cli.package_options import returned
from device_sdk.cli.pem import certificates_from, describe, pem_of
from device_sdk.cli.server_key_options import add_arguments, check, forms, protection
from device_sdk.cli.settings import Settings, Source
from device_sdk.errors import ClockError, ConfigurationError, KeyStoreError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.est import ServerKey
    from device_sdk.client.est.packages import Packages
    from device_sdk.model.trust import TlsIdentity

__all__ = ["Generated", "add_arguments", "obtained", "run"]

Generate: TypeAlias = "Callable[[argparse.Namespace, Settings, ExitStack, Output], Generated]"


@dataclass(frozen=True)
class Generated:
    """A key that came.

    Attributes:
        key: it and its certificate, checked.
        packages: takes receipts and errors; None where nothing goes back.
        recipient: to whom they are encrypted where that is asked for.
    """

    key: ServerKey
    packages: Packages | None = None
    recipient: x509.Certificate | None = None


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
    recipient = accepted.packages.receipt_recipient if accepted.packages else None
    return Generated(key, client.packages if key.requests and not options.no_returns else None, recipient)


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
            packages.return_key_error(generated, error, recipient=come.recipient)
        return _not_stored(error, pem, data, half_done, file, out)
    data |= returned(generated, packages, out, come.recipient) if packages is not None else {}
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


def _identity(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> TlsIdentity | None:
    if options.tls_cert:
        return inputs.tls_identity(options.tls_cert, options.tls_key, settings, opened)
    if options.cert:
        return inputs.tls_identity(options.cert, settings.require("key.uri"), settings, opened)
    return None
