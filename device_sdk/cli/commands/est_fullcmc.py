"""`device-sdk est fullcmc`: enrol, renew, revoke and ask again by Full CMC (RFC 7030 section 4.3)."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_sdk.cli import inputs, waiting
from device_sdk.cli.delivery import deliver, keeping_early
from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.output import Output
from device_sdk.cli.own_file import own_file
from device_sdk.cli.pem import certificates_from, describe, name_of, pem_of
from device_sdk.cli.secrets import shared_secret
from device_sdk.cli.settings import Settings, Source, add_settings
from device_sdk.errors import CmcPendingError, ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.est import EstClient
    from device_sdk.client.est.full_cmc import FullCmcResult, PendingRequest, SharedSecret
    from device_sdk.model.csr import CsrSpec
    from device_sdk.model.trust import TlsIdentity

SECRET = ("est.shared_secret_file", "est.shared_secret_fd", "est.identification")
_REASONS = (
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
)
_MAX_PENDING_BYTES = 256 * 1024


def add_arguments(operation: argparse.ArgumentParser) -> None:
    """Describe what `est fullcmc` has beyond the other operations."""
    add_settings(operation, *SECRET, *inputs.IDENTITY, *inputs.CHALLENGES)
    operation.add_argument(
        "--cert", metavar="FILE", help="the current certificate, to be renewed; its key is --key, and signs the request"
    )
    operation.add_argument("--new-key", metavar="URI", help="certify this key instead of --key")
    operation.add_argument("--tls-cert", metavar="FILE", help="another certificate that signs, the one of the factory")
    operation.add_argument("--tls-key", metavar="URI", help="the key of --tls-cert")
    operation.add_argument(
        "--pending",
        metavar="FILE",
        help="where to keep a request that is not decided; if the file is there, ask what became of that one",
    )
    operation.add_argument("--query", metavar="FILE", help="ask only: what became of the request in this file")
    operation.add_argument("--revoke", metavar="FILE", help="have the certificate in this file revoked")
    operation.add_argument("--reason", choices=_REASONS, help="why to revoke (default: unspecified)")
    operation.add_argument("--comment", metavar="TEXT", help="for the CA's operator, with --revoke")


def run(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Send a Full PKI Request, or ask what became of one, and deliver what came of it."""
    check(options)
    if options.revoke:
        return _revoke(options, settings, out)
    kept = options.query or (options.pending if options.pending and Path(options.pending).exists() else None)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        pending_file = OutputFile(options.query or options.pending, mode=0o600)
        opened.enter_context(pending_file)
        try:
            with keeping_early(file, out):
                result = _ask(kept, options, settings, out, opened) if kept else _enrol(options, settings, out, opened)
        except CmcPendingError as error:
            return keep(error, pending_file, out, "the same command does")
        code = deliver_result(result, file, out)
    if kept and code == 0:
        Path(kept).unlink(missing_ok=True)
    return code


def check(options: argparse.Namespace) -> None:
    """Make sure that the options say one thing.

    Raises:
        ConfigurationError: they do not.
    """
    if bool(options.tls_cert) != bool(options.tls_key):
        raise ConfigurationError("--tls-cert and --tls-key go together")
    if options.tls_cert and (options.cert or options.new_key):
        raise ConfigurationError("--tls-cert does not go together with --cert or --new-key", hint="give one pair")
    if options.new_key and not options.cert:
        raise ConfigurationError("--new-key needs --cert, the certificate of --key", hint="or give the key as --key")
    by_file = options.offline_out or options.offline_in
    if options.revoke and (options.query or options.new_key or (options.pending and not by_file)):
        raise ConfigurationError("--revoke does not go together with --query, --pending or --new-key")
    if options.query and options.pending:
        raise ConfigurationError("--query and --pending name the same kind of file; give one")
    if not options.revoke and (options.reason or options.comment):
        raise ConfigurationError("--reason and --comment go with --revoke")


def signer_of(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> TlsIdentity | None:
    """The existing certificate that signs, and shows itself in TLS, too; None if there is none.

    Raises:
        ConfigurationError: a file holds no certificate.
        KeyStoreError: the key cannot be opened.
    """
    if options.tls_cert:
        return inputs.tls_identity(options.tls_cert, options.tls_key, settings, opened)
    if options.cert:
        return inputs.tls_identity(options.cert, settings.require("key.uri"), settings, opened)
    return None


def _client(settings: Settings, out: Output, opened: ExitStack, signer: TlsIdentity | None) -> EstClient:
    from device_sdk.cli.commands import est

    return opened.enter_context(est._client(settings, out, signer))


def _enrol(options: argparse.Namespace, settings: Settings, out: Output, opened: ExitStack) -> FullCmcResult:
    key = inputs.open_key(options.new_key or settings.require("key.uri"), settings, opened)
    signer = signer_of(options, settings, opened)
    secret = secret_of(settings, signer)
    client = _client(settings, out, opened, signer)
    wait_s, progress = inputs.wait(settings), waiting.patience(out)
    if options.cert:
        return client.fullcmc.renew(key, extra=_extra(settings), wait_s=wait_s, progress=progress)
    spec = inputs.with_challenges(inputs.csr_spec(settings, nameless=True), settings)
    if signer is not None and not list(spec.subject) and not spec.san:
        # RFC 6402 section 2.4: the names of the certificate link it to the request
        spec = replace(spec, subject=signer.chain[0].subject)
    return client.fullcmc.enroll(key, spec, shared_secret=secret, wait_s=wait_s, progress=progress)


def _extra(settings: Settings) -> CsrSpec:
    """A renewal repeats the names; what else the settings say goes into the request."""
    from cryptography import x509

    from device_sdk.model.csr import CsrSpec

    refuse_names(settings)
    spec = CsrSpec(x509.Name([]), device=inputs.device_attributes(settings), values=inputs.values(settings))
    return inputs.with_challenges(spec, settings)


def refuse_names(settings: Settings) -> None:
    """A renewal repeats the names.

    Raises:
        ConfigurationError: a flag has others.
    """
    for name in ("identity.subject", "identity.san"):
        if settings.source(name) is Source.FLAG:
            raise ConfigurationError(
                "a renewal keeps the names of the certificate", hint="leave --subject and --san out"
            )


def secret_of(settings: Settings, signer: TlsIdentity | None) -> SharedSecret | None:
    """The shared secret, if there is one; where a certificate signs, only flags could mean it, and they contradict.

    Raises:
        ConfigurationError: they do, or something is missing.
    """
    from device_sdk.client.est.full_cmc import SharedSecret

    flags = [name for name in SECRET if settings.source(name) is Source.FLAG]
    if signer is not None:
        if flags:
            raise ConfigurationError("a certificate signs this request; a shared secret does not go with it")
        return None
    found = shared_secret(settings)
    if found is None and flags:
        raise ConfigurationError(
            "there is an identification and no shared secret",
            hint="give --shared-secret-file or --shared-secret-fd, or set DEVICE_SDK_SHARED_SECRET",
        )
    return SharedSecret(found, settings.text("est.identification")) if found is not None else None


def _ask(kept: str, options: argparse.Namespace, settings: Settings, out: Output, opened: ExitStack) -> FullCmcResult:
    pending = _read_pending(kept)
    key = inputs.open_key(options.new_key or settings.require("key.uri"), settings, opened)
    signer = signer_of(options, settings, opened)
    client = _client(settings, out, opened, signer)
    return client.fullcmc.query(
        pending, key, signer=signer, wait_s=inputs.wait(settings), progress=waiting.patience(out)
    )


def _read_pending(path: str) -> PendingRequest:
    from device_sdk.client.est.full_cmc import PendingRequest

    with own_file(path, limit_bytes=_MAX_PENDING_BYTES) as content:
        pass
    try:
        kept = json.loads(content)
        if not isinstance(kept, dict):
            raise ValueError
        return PendingRequest.from_json(kept)
    except (ValueError, RecursionError, ConfigurationError) as error:
        raise ConfigurationError(f"{path} is not what a pending CMC request left behind") from error


def keep(error: CmcPendingError, file: OutputFile, out: Output, how: str) -> int:
    """Write down what a later run needs; where that cannot be done, it is told instead, so that nothing is lost.

    Args:
        error: has what is to be kept.
        file: where.
        out: of the command.
        how: what goes on with it.

    Returns:
        The exit code.

    Raises:
        CmcPendingError: there is no file.
    """
    if file.path is None:
        error.hint = "give --pending FILE to ask again later with the same command"
        raise error
    kept = json.dumps(error.pending, indent=2).encode() + b"\n"
    try:
        file.write(kept)
        error.hint = f"{error.hint}; {how}, with what is in {file.path}"
    except ConfigurationError as problem:
        error.hint = f"{problem.message}; what was to be written there is on standard output"
        if not out.as_json:
            out.content(kept)
    out.error(error)
    return error.exit_code


def deliver_result(result: FullCmcResult, file: OutputFile, out: Output) -> int:
    """Deliver the certificate with what the server said; gives the exit code.

    Raises:
        ConfigurationError: there is no certificate.
    """
    enrolled = result.enrolled
    if enrolled is None:
        raise ConfigurationError("the server answered without a certificate")
    for note in enrolled.differences:
        out.say(f"note: {note}")
    pem = pem_of(enrolled.chain)
    data = {"certificate": describe(enrolled.certificate), "pem": pem.decode(), "notes": list(enrolled.differences)}
    return deliver(file, pem, data | _cmc(result), out)


def _cmc(result: FullCmcResult) -> dict[str, Any]:
    """What the server said beside the certificate."""
    statuses = [{"status": one.status_name, "text": one.text} for one in result.statuses]
    return {"cmc": {"transaction_id": f"{result.transaction_id:x}", "statuses": statuses}}


def revoker_of(
    options: argparse.Namespace, settings: Settings, opened: ExitStack
) -> tuple[TlsIdentity | None, SharedSecret | None]:
    """Who has a certificate revoked: another certificate, who knows a shared secret, or else the certificate itself.

    Raises:
        ConfigurationError: nobody.
        KeyStoreError: the key cannot be opened.
    """
    signer = signer_of(options, settings, opened)
    secret = secret_of(settings, signer)
    if signer is None and secret is None:
        signer = _own_identity(options, settings, opened)
    return signer, secret


def _own_identity(options: argparse.Namespace, settings: Settings, opened: ExitStack) -> TlsIdentity:
    """The certificate that is to be revoked, and its own key."""
    from device_sdk.model.trust import TlsIdentity

    chain = certificates_from(read_file(options.revoke), options.revoke)
    key = inputs.open_key(settings.require("key.uri"), settings, opened)
    if key.public_key() != chain[0].public_key():
        raise ConfigurationError(
            f"--key is not the key of --revoke's certificate: {name_of(chain[0].subject)} in {options.revoke}",
            hint="give its key, or sign with another certificate (--tls-cert, --tls-key) or a shared secret",
        )
    return TlsIdentity(chain, key)


def _revoke(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    target = certificates_from(read_file(options.revoke), options.revoke)[0]
    with ExitStack() as opened:
        signer, secret = revoker_of(options, settings, opened)
        client = _client(settings, out, opened, signer)
        result = client.fullcmc.revoke(
            target,
            options.reason or "unspecified",
            signer=signer,
            shared_secret=secret.secret if secret else None,
            comment=options.comment,
        )
        return deliver_revocation(target, options.reason, result, out)


def deliver_revocation(target: x509.Certificate, reason: str | None, result: FullCmcResult, out: Output) -> int:
    """Say what was revoked; gives the exit code."""
    facts = describe(target)
    data = {"revoked": facts, "reason": reason or "unspecified"} | _cmc(result)
    out.data(data, f"revoked {facts['subject']}, serial {facts['serial']}")
    return 0
