"""Reading and verifying CMS SignedData with content of its own (RFC 5652 section 5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, TypeAlias

from cryptography import x509

from device_sdk.errors import VerificationError, WireError
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.model.wiping import passing
from device_sdk.wire.ber import children
from device_sdk.wire.certs_only import MAX_CERTIFICATES, usable_certificates
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.armor import remove_armor
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import INTEGER, SEQUENCE, SET, Reader
from device_sdk.wire.cms.signer_info import SignerInfo, read_signer
from device_sdk.wire.content_constraints import CMS_CONTENT_CONSTRAINTS, ConstraintsMode, constraint_problem
from device_sdk.wire.path import find_path, name_of
from device_sdk.wire.path_inputs import NO_INPUTS, PathInputs
from device_sdk.wire.relations import Relations

MAX_SIGNERS = 8

_EXPLICIT_0 = 0xA0
_CERTIFICATES, _REVOCATIONS = 0xA0, 0xA1
_WHAT = "SignedData"

MaySign: TypeAlias = Callable[[x509.Certificate], str | None]
"""Asked about a signer whose signature and path are good: why that one may not sign this; None if it may."""


@dataclass(frozen=True)
class SignedData:
    """A signed message as it was read; nothing in it is trusted before `verify_signed_data` returned.

    Attributes:
        content_type: of the content, dotted.
        content: the octets that are signed.
        certificates: those in the message, in its order, each once.
        signers: who signed, at least one.
    """

    content_type: str
    content: bytes = field(repr=False)
    certificates: tuple[x509.Certificate, ...] = ()
    signers: tuple[SignerInfo, ...] = ()


@dataclass(frozen=True)
class Signature:
    """A good one.

    Attributes:
        signer: who signed, and with which attributes.
        path: his certificate first, the anchor last.
    """

    signer: SignerInfo
    path: tuple[x509.Certificate, ...]


MayVouch: TypeAlias = Callable[[Signature], str | None]
"""Asked about a signature with a valid path: why it does not count for this content; None if it does."""


@dataclass(frozen=True)
class NoSignature:
    """Nobody trusted signed.

    Attributes:
        message: why, for each signer.
        stage: how far the best of them came: no certificate of his was there, the signature was none of its key's, or it
            led to no anchor.
    """

    CERTIFICATE: ClassVar[int] = 0
    SIGNATURE: ClassVar[int] = 1
    PATH: ClassVar[int] = 2

    message: str
    stage: int


def read_signed_data(message: bytes, *, limit_bytes: int = MAX_RESPONSE_BYTES) -> SignedData:
    """Read a signed message; verifies nothing.

    Args:
        message: a ContentInfo or a bare SignedData, as is found inside an EnvelopedData whose content type is signedData;
            DER, BER, base64, PEM labelled CMS or PKCS7, or S/MIME text.
        limit_bytes: the largest message looked at.

    Raises:
        WireError: not a SignedData, one without content or signers, or with too many of anything.
    """
    try:
        return _parse(passing(make_definite(passing(remove_armor(message, limit_bytes)))))
    except ValueError as error:
        raise WireError(f"not a signed CMS message: {error}", what=_WHAT) from error


def verify_signed_data(
    data: SignedData,
    *,
    content_type: str,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    intermediates: Iterable[x509.Certificate] = (),
    may_sign: MaySign | None = None,
    inputs: PathInputs = NO_INPUTS,
    constraints: ConstraintsMode = "if-present",
) -> None:
    """Make sure that somebody trusted signed this content. One good signer is enough (RFC 5652 section 5).

    The signer's certificate comes from the message, from `intermediates` or is an anchor itself; it is named by issuer
    and serial number or by subject key identifier. Signed attributes are demanded. SHA-256 or better with RSA (PKCS#1
    v1.5, PSS) or ECDSA.

    Args:
        data: as read.
        content_type: the content type expected, dotted.
        anchors: the Explicit trust anchors.
        now: the present, with a time zone.
        intermediates: further certificates for the path; not trusted.
        may_sign: what else a signer has to be, beyond having a key that may sign.
        inputs: initial policies and revocation lists for the paths.
        constraints: whether CMS content constraints have to be there (RFC 6010); where they are, they are kept, but for "off".

    Raises:
        WireError: content of another type.
        VerificationError: no signature by a certificate that leads to an anchor; says why for each signer.
    """
    if data.content_type != content_type:
        raise WireError(f"signed content of type {data.content_type}, expected {content_type}", what=_WHAT)

    def may_vouch(signature: Signature) -> str | None:
        attributes = signature.signer.attributes
        return constraint_problem(signature.path, content_type, attributes, source=True, mode=constraints)

    found = find_signature(
        data,
        anchors=anchors,
        now=now,
        intermediates=intermediates,
        may_sign=may_sign,
        processed=() if constraints == "off" else (CMS_CONTENT_CONSTRAINTS,),
        inputs=inputs,
        may_vouch=may_vouch,
    )
    if isinstance(found, NoSignature):
        raise VerificationError(found.message)


def find_signature(
    data: SignedData,
    *,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    intermediates: Iterable[x509.Certificate] = (),
    may_sign: MaySign | None = None,
    processed: Collection[x509.ObjectIdentifier] = (),
    inputs: PathInputs = NO_INPUTS,
    may_vouch: MayVouch | None = None,
) -> Signature | NoSignature:
    """Who signed, with the path to the anchor; or why nobody trusted did. See verify_signed_data.

    Args:
        data: as read; of whatever content type.
        anchors: as there.
        now: as there.
        intermediates: as there.
        may_sign: as there.
        processed: critical extensions that the caller processes on the path himself.
        inputs: as there.
        may_vouch: what else a path has to be like.
    """
    bag = tuple(dict.fromkeys((*data.certificates, *intermediates, *anchors)))
    relations = Relations()
    problems: list[str] = []
    stage = NoSignature.CERTIFICATE
    for signer in data.signers:
        found = [certificate for certificate in bag if signer.names(certificate)]
        if not found:
            problems.append("the signer's certificate is not there")
        for certificate in found:
            problem = _problem(data, signer, certificate, relations) or (may_sign and may_sign(certificate))
            stage = max(stage, NoSignature.SIGNATURE if problem else NoSignature.PATH)
            if not problem:
                path = _path(certificate, bag, anchors, now, relations, processed, inputs)
                if not isinstance(path, str):
                    signature = Signature(signer, path)
                    problem = may_vouch(signature) if may_vouch else None
                    if not problem:
                        return signature
                else:
                    problem = path
            problems.append(f"{name_of(certificate)}: {problem}")
    return NoSignature(f"the signed message is not to be trusted: {'; '.join(dict.fromkeys(problems))}", stage)


def _problem(data: SignedData, signer: SignerInfo, certificate: x509.Certificate, relations: Relations) -> str | None:
    # the key first: verifying with an outsized one is what an attacker would like
    problem = relations.key_problem(certificate) or usage_problem(certificate)
    return problem or signer.problem(certificate.public_key(), data.content_type, data.content)


def _path(
    certificate: x509.Certificate,
    bag: Iterable[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    now: datetime,
    relations: Relations,
    processed: Collection[x509.ObjectIdentifier],
    inputs: PathInputs,
) -> tuple[x509.Certificate, ...] | str:
    """The path, or why there is none."""
    try:
        return find_path(
            certificate,
            intermediates=bag,
            anchors=anchors,
            now=now,
            relations=relations,
            processed=processed,
            inputs=inputs,
        )
    except VerificationError as error:
        return error.message


def usage_problem(certificate: x509.Certificate) -> str | None:
    """Why a key signs no messages; None if it does. Who may sign certificates could make himself one that signs messages."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
    signs = usage.digital_signature or usage.content_commitment or usage.key_cert_sign
    return None if signs else "its key is not for signatures (KeyUsage)"


def _parse(encoded: bytes) -> SignedData:
    """Read a SignedData, in a ContentInfo or not; versions are not looked at, as writers disagree about them."""
    outer = Reader(encoded).enter()
    if outer.next_tag != INTEGER:
        if outer.oid() != oids.SIGNED_DATA:
            raise ValueError("another type of message")
        data = outer.enter(_EXPLICIT_0).enter()
        outer.finish()
    else:
        data = outer
    data.integer()
    data.contents(SET)
    content_type, content = _read_content(data.enter())
    certificates = _read_certificates(data.contents()) if data.next_tag == _CERTIFICATES else ()
    data.skip(_REVOCATIONS)
    signers = _read_signers(data.enter(SET))
    data.finish()
    return SignedData(content_type, content, certificates, signers)


def _read_content(info: Reader) -> tuple[str, bytes]:
    content_type = info.oid()
    if info.next_tag is None:
        raise ValueError("a message without content")
    content = info.enter(_EXPLICIT_0).octets()
    info.finish()
    return content_type, content


def _read_certificates(contents: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates; those of other kinds (attribute certificates) are passed over."""
    found = [element for tag, element, _ in children(contents) if tag == SEQUENCE]
    if len(found) > MAX_CERTIFICATES:
        raise ValueError(f"more than {MAX_CERTIFICATES} certificates")
    return tuple(dict.fromkeys(usable_certificates(found)))


def _read_signers(members: Reader) -> tuple[SignerInfo, ...]:
    found: list[SignerInfo] = []
    while members.next_tag is not None:
        if len(found) == MAX_SIGNERS:
            raise ValueError(f"more than {MAX_SIGNERS} signers")
        found.append(read_signer(members.enter()))
    if not found:
        raise ValueError("a message that nobody signed")
    return tuple(found)
