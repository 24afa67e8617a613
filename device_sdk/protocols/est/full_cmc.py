"""Full CMC over EST: the request, and both kinds of answer (RFC 7030 section 4.3, EST-204 to EST-207)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from device_sdk.errors import CmcUntrustedError, RemoteProtocolError, VerificationError, WireError
from device_sdk.model.http import BodyBuilder, HttpRequest, HttpResponse
from device_sdk.protocols.est.full_cmc_refusal import refused, refused_unread
from device_sdk.protocols.est.media import FULLCMC_HEADERS, PKCS7, parse_media_type
from device_sdk.protocols.est.server_text import printable
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.wire.certs_only import parse_certs_only
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.kind import AnswerKind, answer_kind
from device_sdk.wire.cmc.pki_response import PkiResponse, read_pki_response
from device_sdk.wire.cmc.status import CmcStatus, StatusInfo
from device_sdk.wire.cmc.trust_anchors import PublishedAnchors, read_published_anchors
from device_sdk.wire.cms.signed_data import SignedData, read_signed_data, verify_signed_data
from device_sdk.wire.path import ca_problem
from device_sdk.wire.path_inputs import PathInputs
from device_sdk.wire.transfer import LABELS_CMS, decode_body

_GOOD = {CmcStatus.SUCCESS, CmcStatus.CONFIRM_REQUIRED, CmcStatus.PENDING, CmcStatus.PARTIAL}


@dataclass(frozen=True)
class Sent:
    """What an answer has to say again, so that it is an answer to this request (RFC 5272 section 6.6)."""

    transaction_id: int
    sender_nonce: bytes = field(repr=False)


@dataclass(frozen=True)
class Trusted:
    """Who may vouch for an answer: the Explicit anchors, CA certificates that lead to them, and who was revoked since."""

    anchors: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()
    lists: tuple[x509.CertificateRevocationList, ...] = ()


@dataclass(frozen=True)
class FullCmcAnswer:
    """An answer that is not a refusal; where it says something beside certificates, its signature was verified.

    Attributes:
        certificates: those of the answer, not yet checked.
        statuses: what the server says; empty means success.
        server_nonce: goes into the next request of the same transaction, or None.
        published: trust anchors the CA names, or None (EST-75: nothing follows from it by itself).
        signed: the message around it; None for a Simple PKI Response.
    """

    certificates: tuple[x509.Certificate, ...]
    statuses: tuple[StatusInfo, ...] = ()
    server_nonce: bytes | None = field(default=None, repr=False)
    published: PublishedAnchors | None = None
    signed: SignedData | None = field(default=None, repr=False)

    def with_status(self, *wanted: CmcStatus) -> StatusInfo | None:
        """The first status of one of these kinds."""
        return next((info for info in self.statuses if info.status in wanted), None)


def fullcmc_request(
    endpoint: EstEndpoint,
    body: bytes | BodyBuilder,
    *,
    target: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> HttpRequest:
    """POST /fullcmc (section 4.3.1).

    Args:
        endpoint: where to.
        body: base64 of the Full PKI Request, or what makes it after the handshake.
        target: the request target an entry of the package list has; by default that of the operation.
        headers: further ones.

    Raises:
        ConfigurationError: a target elsewhere.
    """
    place = endpoint.place(target, Operation.FULLCMC)
    return HttpRequest("POST", place, (*FULLCMC_HEADERS, *headers), body, operation=Operation.FULLCMC.value)


def read_fullcmc(response: HttpResponse, sent: Sent | None, trusted: Trusted, now: datetime) -> FullCmcAnswer:
    """Read the answer to a Full PKI Request, verify it, and raise what it refuses.

    A Simple PKI Response says nothing but "here are certificates"; they are not checked here. A Full PKI Response has to
    be signed by a CA, or by somebody whom a CA gave id-kp-cmcCA or id-kp-cmcRA, with a path to an Explicit anchor, and
    has to repeat nonce and transaction of the request. Only then is anything in it believed, refusals included.

    Args:
        response: 200, or 4xx and 5xx with or without a CMC body (EST-206).
        sent: what the request said; None for the result of a request that nobody has any more (RFC 8295 section 9), of which
            the certificate has to be for the key of then.
        trusted: who may vouch for the answer.
        now: the present, with a time zone.

    Raises:
        CmcRefusedError: a verified answer with a status that means "no"; its subclasses say why.
        CmcUntrustedError: a success that is unsigned, signed by the wrong one, altered, or for another request.
        HttpStatusError: a refusal without a CMC body that can be verified.
        RemoteProtocolError: not a PKI Response.
    """
    success = response.status_code in (200, 201)
    if not success and not _carries_cmc(response):
        raise refused_unread(response, now)
    try:
        answer = _read(response, sent, trusted, now)
    except (CmcUntrustedError, RemoteProtocolError) as error:
        if success:
            raise
        raise refused_unread(response, now, why=error.message) from error
    bad = next((info for info in answer.statuses if info.status not in _GOOD), None)
    if bad is not None:
        raise refused(response, bad, sent.transaction_id if sent else 0, now)
    if not success:
        raise refused_unread(response, now)
    return answer


def _carries_cmc(response: HttpResponse) -> bool:
    media = parse_media_type(response.header("Content-Type"))
    return media.name in PKCS7 and bool(response.body.strip())


def _read(response: HttpResponse, sent: Sent | None, trusted: Trusted, now: datetime) -> FullCmcAnswer:
    media = parse_media_type(response.header("Content-Type"))
    if media.name and media.name not in PKCS7:
        raise _broken(response, f"Content-Type {printable(media.name, 100)!r}, expected 'application/pkcs7-mime'")
    try:
        message = decode_body(response.body, labels=LABELS_CMS)
        kind = answer_kind(message)
        if kind is AnswerKind.CERTS_ONLY:
            return _simple(response, parse_certs_only(message))
        if kind is AnswerKind.UNSIGNED:
            raise _untrusted(response, "unsigned", "nobody signed it")
        return _full(response, read_signed_data(message), sent, trusted, now)
    except WireError as error:
        raise _broken(response, f"the answer cannot be read: {error.message}") from error


def _simple(response: HttpResponse, certificates: tuple[x509.Certificate, ...]) -> FullCmcAnswer:
    if not certificates:
        raise _broken(response, "the answer holds no certificate")
    return FullCmcAnswer(certificates)


def _full(
    response: HttpResponse, data: SignedData, sent: Sent | None, trusted: Trusted, now: datetime
) -> FullCmcAnswer:
    try:
        verify_signed_data(
            data,
            content_type=oids.PKI_RESPONSE,
            anchors=trusted.anchors,
            intermediates=trusted.intermediates,
            now=now,
            may_sign=may_answer,
            inputs=PathInputs(lists=trusted.lists),
        )
    except VerificationError as error:
        raise _untrusted(response, "signature", error.message) from error
    said = read_pki_response(data.content)
    if sent is not None:
        _require_ours(response, said, sent)
    named = said.trusted_anchors
    published = None if named is None else read_published_anchors(named, data.certificates)
    return FullCmcAnswer(data.certificates, said.statuses, said.sender_nonce, published, data)


def may_answer(certificate: x509.Certificate) -> str | None:
    """Why a certificate's holder may not sign PKI Responses: any device of the CA has a certificate, too; None if it may."""
    if ca_problem(certificate) is None:
        return None
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        usages = x509.ExtendedKeyUsage([])
    allowed = {oids.CMC_CA, oids.CMC_RA} & {usage.dotted_string for usage in usages}
    return None if allowed else "neither a CA nor allowed to speak CMC for one (id-kp-cmcCA, id-kp-cmcRA)"


def _require_ours(response: HttpResponse, said: PkiResponse, sent: Sent) -> None:
    if said.recipient_nonce is None or not hmac.compare_digest(said.recipient_nonce, sent.sender_nonce):
        raise _untrusted(
            response, "nonce", "its recipientNonce is not the nonce of this request; an old answer, perhaps"
        )
    if said.transaction_id != sent.transaction_id:
        raise _untrusted(response, "transaction", "its transactionId is not that of this request")


def _untrusted(response: HttpResponse, reason: str, words: str) -> CmcUntrustedError:
    return CmcUntrustedError(
        f"{response.url}: the CMC answer is not believed: {words}",
        hint="nothing of it was used; if this CA is the right one, add its root to the anchors"
        if reason == "signature"
        else "nothing of it was used",
        url=response.url,
        reason=reason,
    )


def _broken(response: HttpResponse, words: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"{response.url}: {words}", url=response.url, status_code=response.status_code)
