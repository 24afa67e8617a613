"""Who signed a message: an anchor itself, or somebody by way of a certificate (RFC 5934 sections 1.2, 4 and 8; T-03, T-13)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from device_sdk.errors import TampRefusedError, VerificationError
from device_sdk.protocols.crls import kept_inputs
from device_sdk.protocols.tamp.store import AnchorStore, HeldAnchor, Role, identity_of_certificate
from device_sdk.wire.certificate import CLOCK_ALLOWANCE
from device_sdk.wire.cms.signed_data import usage_problem
from device_sdk.wire.content_constraints import CMS_CONTENT_CONSTRAINTS
from device_sdk.wire.path import find_path, name_of
from device_sdk.wire.relations import Relations
from device_sdk.wire.tamp.apex import read_contingency_key
from device_sdk.wire.tamp.certificates import as_certificate
from device_sdk.wire.tamp.codes import TampStatus, refused, refusing
from device_sdk.wire.tamp.envelope import SignedRequest
from device_sdk.wire.tamp.extensions import read_public_key


@dataclass(frozen=True)
class Trusting:
    """What is known beside the store.

    Attributes:
        now: the present, with a time zone.
        intermediates: certificates that may lead to an anchor; not trusted.
        lists: revocation lists; they count as in `protocols.crls.kept_inputs`, for paths to the anchor behind the signature.
        list_issuers: CA certificates that they lead through; not trusted.
    """

    now: datetime
    intermediates: Sequence[x509.Certificate] = ()
    lists: Iterable[x509.CertificateRevocationList] = ()
    list_issuers: Sequence[x509.Certificate] = ()


@dataclass(frozen=True)
class TampSigner:
    """Who signed.

    Attributes:
        anchor: the one behind the signature.
        path: the signer's certificate first, without the anchor; empty if the anchor signed itself.
        contingency: the apex's other key signed.
        key: tells the key from others.
        disclosed: the symmetric key that opened the contingency key.
    """

    anchor: HeldAnchor
    path: tuple[x509.Certificate, ...] = ()
    contingency: bool = False
    key: bytes = field(default=b"", repr=False)
    disclosed: bytes = field(default=b"", repr=False)

    @property
    def is_apex(self) -> bool:
        """Whether the apex signed, by no certificate: nothing limits it (section 7)."""
        return self.anchor.role is Role.APEX and not self.path


def find_signer(message: SignedRequest, store: AnchorStore, trusting: Trusting) -> TampSigner:
    """Find out who signed; says nothing about what that one may.

    Raises:
        TampRefusedError: nobody who is known.
    """
    if message.contingency is not None:
        return _contingency(message, store, message.contingency)
    direct = [one for one in store.anchors if one.anchor.key_id == message.signer.subject_key_id]
    problem = refused(TampStatus.NO_TRUST_ANCHOR, "no trust anchor or certificate here has the key that signed it")
    for held in direct:
        try:
            _check_signature(message, held.identity)
        except TampRefusedError as error:
            problem = error
        else:
            return TampSigner(held, key=held.identity)
    for certificate in _candidates(message, trusting):
        try:
            return _delegate(message, certificate, store, trusting)
        except TampRefusedError as error:
            problem = error
    raise problem


def _check_signature(message: SignedRequest, public_key: bytes) -> None:
    """Make sure that this key made it.

    Raises:
        TampRefusedError: it did not, or makes none that are accepted.
    """
    try:
        key = read_public_key(public_key)
    except TampRefusedError as error:
        raise refused(TampStatus.UNSUPPORTED_KEY_SIZE, f"the signer has {error.message}") from error
    why = message.signer.problem(key, message.content_type, message.content)
    if why is not None:
        digest = why.startswith("the signed digest")
        raise refused(TampStatus.CMS_ERROR if digest else TampStatus.SIGNATURE_FAILURE, why)


def _contingency(message: SignedRequest, store: AnchorStore, symmetric: bytes) -> TampSigner:
    """An apex update by the key that was kept locked away for it (section 4.5)."""
    apex = store.apex
    with refusing(TampStatus.CONTINGENCY_PUBLIC_KEY_DECRYPT, "the contingency key"):
        locked = read_contingency_key(apex.anchor.effective[1]) if apex else None
    if apex is None or locked is None:
        raise refused(TampStatus.NO_TRUST_ANCHOR, "there is no apex with a contingency key")
    if locked.wrap is None:
        raise refused(
            TampStatus.UNSUPPORTED_CONTIN_PUB_KEY_DECRYPT_ALG, "the contingency key is locked in a way not known here"
        )
    public_key = locked.opened(symmetric)
    if public_key is None:
        raise refused(
            TampStatus.CONTINGENCY_PUBLIC_KEY_DECRYPT, "the key that came with it does not open the contingency key"
        )
    _check_signature(message, public_key)
    return TampSigner(apex, contingency=True, key=public_key, disclosed=symmetric)


def _candidates(message: SignedRequest, trusting: Trusting) -> list[x509.Certificate]:
    bag = dict.fromkeys((*message.certificates, *trusting.intermediates))
    return [one for one in bag if message.signer.names(one)]


def _delegate(
    message: SignedRequest, certificate: x509.Certificate, store: AnchorStore, trusting: Trusting
) -> TampSigner:
    key = identity_of_certificate(certificate)
    _check_signature(message, key)
    if why := usage_problem(certificate):
        raise refused(TampStatus.NOT_AUTHORIZED, f"{name_of(certificate)}: {why}")
    for role in (Role.APEX, Role.MANAGEMENT):
        held = {as_certificate(one.anchor): one for one in store.anchors if one.role is role}
        anchors = [one for one in held if one is not None]
        path = _path(message, certificate, anchors, trusting)
        if isinstance(path, VerificationError):
            problem = path
            continue
        if why := _revoked(path, anchors, trusting):
            raise refused(TampStatus.REVOKED_CERTIFICATE, why)
        return TampSigner(held[path[-1]], path[:-1], key=key)
    others = [one.anchor for one in store.anchors if one.role is Role.IDENTITY]
    identities = [one for one in map(as_certificate, others) if one is not None]
    if not isinstance(_path(message, certificate, identities, trusting), VerificationError):
        raise refused(
            TampStatus.NOT_AUTHORIZED, "its signer leads to an identity anchor, which may sign no such message"
        )
    raise refused(TampStatus.NO_TRUST_ANCHOR, f"its signer is not to be trusted: {problem.message}")


def _revoked(path: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], trusting: Trusting) -> str | None:
    inputs = kept_inputs(trusting.lists, anchors=anchors, now=trusting.now, issuers=trusting.list_issuers)
    return inputs.by_issuer.problem(path) or inputs.unchecked_by_issuer.signed_problem(
        path, trusting.now, Relations(), CLOCK_ALLOWANCE
    )


def _path(
    message: SignedRequest,
    certificate: x509.Certificate,
    anchors: Sequence[x509.Certificate],
    trusting: Trusting,
) -> tuple[x509.Certificate, ...] | VerificationError:
    try:
        return find_path(
            certificate,
            intermediates=(*message.certificates, *trusting.intermediates),
            anchors=anchors,
            now=trusting.now,
            relations=Relations(),
            processed=(CMS_CONTENT_CONSTRAINTS,),
        )
    except VerificationError as error:
        return error
