"""`est fullcmc` by file: each message is written with what its answer will be held against, which --pending keeps."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.cli.commands import est_fullcmc
from device_sdk.cli.delivery import keeping_early
from device_sdk.cli.files import OutputFile, read_file
from device_sdk.cli.offline.parts import (
    anchors_of,
    answer_of,
    deliver_request,
    est_of,
    extra_of,
    key_of,
    refuse_challenges,
    spec_of,
    wishes_of,
)
from device_sdk.cli.output import Output
from device_sdk.cli.own_file import own_file
from device_sdk.cli.pem import certificates_from
from device_sdk.cli.settings import Settings
from device_sdk.errors import CmcPendingError, CmcRefusedError, ConfigurationError

if TYPE_CHECKING:
    from cryptography import x509

    from device_sdk.client.est.offline_full_cmc import OfflineFullCmc
    from device_sdk.protocols.est.full_cmc_carried import CarriedTransaction

_MAX_BYTES = 1024 * 1024
_PRIVATE, _PUBLIC = 0o600, 0o644


def write_message(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Write a Full PKI Request: a new one, the next one of a transaction, or the one that waits for its answer again.

    What its answer needs is on the disk before the request is: a power cut between the two costs nothing, as the same
    command then writes the same request.
    """
    est_fullcmc.check(options)
    refuse_challenges(settings)
    place = _place(options)
    there = options.query is not None or Path(place).exists()
    with ExitStack() as opened:
        # of two runs that begin here, one makes the file, and only that one's answer could be read
        kept_file = opened.enter_context(OutputFile(place, mode=_PRIVATE, replace=there))
        transaction = _kept(place, opened) if there else None
        fullcmc = est_of(settings).fullcmc
        telling = False
        if transaction is None:
            transaction, telling = _begun(fullcmc, options, settings, opened)
        elif transaction.request is not None:
            _require_same(transaction, fullcmc, options, settings, opened)
            out.say(f"note: {place} waits for an answer: the same request is written again")
        else:
            key, signer = key_of(options, settings, opened), est_fullcmc.signer_of(options, settings, opened)
            transaction = fullcmc.follow_up(transaction, key, signer=signer)
        # the secret of a revocation may travel in it
        mode = _PRIVATE if options.revoke else _PUBLIC
        file = opened.enter_context(OutputFile(options.offline_out, mode=mode))
        _keep(kept_file, transaction)
        if telling:
            out.say("note: the request holds the shared secret: whoever carries it can read that")
        return deliver_request(file, fullcmc.request(transaction), out, secret=bool(options.revoke))


def read_message(options: argparse.Namespace, settings: Settings, out: Output) -> int:
    """Deliver what the answer says, as `est fullcmc` does; the transaction is forgotten when it is at its end."""
    est_fullcmc.check(options)
    place, anchors, answer = _place(options), anchors_of(settings), answer_of(options)
    with ExitStack() as opened:
        file = opened.enter_context(OutputFile(options.out))
        kept_file = opened.enter_context(OutputFile(place, mode=_PRIVATE))
        transaction, fullcmc = _kept(place, opened), est_of(settings).fullcmc
        _require_same(transaction, fullcmc, options, settings, opened)
        renews = certificates_from(read_file(options.cert), options.cert)[0] if options.cert else None
        try:
            with keeping_early(file, out):
                result = fullcmc.read(answer, transaction, anchors=anchors, renews=renews)
        except CmcPendingError as error:
            return est_fullcmc.keep(error, kept_file, out, "--offline-out writes the next request")
        except CmcRefusedError as error:
            error.hint = "; ".join(filter(None, [error.hint, f"delete {place} to make another request"]))
            raise
        if options.revoke:
            code = est_fullcmc.deliver_revocation(_target(options), options.reason, result, out)
        else:
            code = est_fullcmc.deliver_result(result, file, out)
        if code == 0:
            Path(place).unlink(missing_ok=True)
        return code


def _place(options: argparse.Namespace) -> str:
    place = options.query or options.pending
    if not place:
        raise ConfigurationError(
            "the answer is held against the request: a file has to keep what that needs", hint="give --pending FILE"
        )
    return str(place)


def _keep(file: OutputFile, transaction: CarriedTransaction) -> None:
    try:
        file.write(json.dumps(transaction.to_json(), indent=2).encode() + b"\n")
    except ConfigurationError as error:
        if isinstance(error.__cause__, FileExistsError):
            error.hint = (
                "another run made it meanwhile: run the same command again, which writes the request of that one"
            )
        raise


def _kept(place: str, opened: ExitStack) -> CarriedTransaction:
    """What is in the file, which no other run changes before the end of `opened`."""
    from device_sdk.protocols.est.full_cmc_carried import CarriedTransaction

    content = opened.enter_context(own_file(place, limit_bytes=_MAX_BYTES))
    try:
        kept = json.loads(content)
        if not isinstance(kept, dict):
            raise ValueError
        return CarriedTransaction.from_json(kept)
    except (ValueError, RecursionError, ConfigurationError) as error:
        raise ConfigurationError(f"{place} is not what a CMC request left behind") from error


def _begun(
    fullcmc: OfflineFullCmc, options: argparse.Namespace, settings: Settings, opened: ExitStack
) -> tuple[CarriedTransaction, bool]:
    """The first message of a transaction, and whether a secret is in it."""
    if options.revoke:
        signer, secret = est_fullcmc.revoker_of(options, settings, opened)
        begun = fullcmc.revoke(
            _target(options),
            options.reason or "unspecified",
            signer=signer,
            shared_secret=secret.secret if secret else None,
            comment=options.comment,
        )
        return begun, secret is not None
    key, signer = key_of(options, settings, opened), est_fullcmc.signer_of(options, settings, opened)
    secret, wishes = est_fullcmc.secret_of(settings, signer), wishes_of(options, settings)
    if options.cert and signer is not None:
        est_fullcmc.refuse_names(settings)
        return fullcmc.renew(key, signer, extra=extra_of(settings), wishes=wishes), False
    spec = spec_of(options, settings)
    if signer is not None and not list(spec.subject) and not spec.san:
        # RFC 6402 section 2.4: the names of the certificate link it to the request
        spec = replace(spec, subject=signer.chain[0].subject)
    return fullcmc.enroll(key, spec, shared_secret=secret, signer=signer, wishes=wishes), False


def _require_same(
    transaction: CarriedTransaction,
    fullcmc: OfflineFullCmc,
    options: argparse.Namespace,
    settings: Settings,
    opened: ExitStack,
) -> None:
    """The file is that of this command: of this key, or of this certificate's revocation."""
    from cryptography.hazmat.primitives import hashes

    place = _place(options)
    if options.revoke:
        if transaction.revokes != _target(options).fingerprint(hashes.SHA256()).hex():
            raise ConfigurationError(f"{place} is not of this revocation", hint="name the file of this one")
    elif fullcmc.csr_of(transaction).public_key() != key_of(options, settings, opened).public_key():
        raise ConfigurationError(f"the request in {place} is for another key", hint="name the key of the request")


def _target(options: argparse.Namespace) -> x509.Certificate:
    return certificates_from(read_file(options.revoke), options.revoke)[0]
