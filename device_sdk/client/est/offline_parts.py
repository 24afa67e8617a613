"""What the requests and answers of OfflineEst have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.est.csr_body import CsrBody, CsrCheck
from device_sdk.errors import AuthenticationRequiredError, EnrolmentPendingError, LocalProtocolError
from device_sdk.model.compatibility import Compatibility
from device_sdk.model.csr import CsrSpec
from device_sdk.model.http import HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.est.refusals import refuse
from device_sdk.protocols.est.retry_after import parse_retry_after
from device_sdk.protocols.est.saved_answer import NO_CONNECTION, read_saved_answer
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.wire import csrattrs_oids as oids
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.path import is_self_signed

UNBOUND = Compatibility(binding="none")
_PASSWORDS = {oids.OTP_CHALLENGE: "a one-time password", oids.REVOCATION_CHALLENGE: "a revocation password"}


def unbound_csr(
    endpoint: EstEndpoint,
    operation: Operation,
    key: PrivateKey,
    spec: CsrSpec,
    wishes: CsrAttributes | None,
    *,
    check: CsrCheck | None = None,
) -> CsrBody:
    """A request that is bound to no connection and has no password in it, made and signed.

    Args:
        endpoint: where it is meant for.
        operation: which.
        key: signs it.
        spec: what to ask for.
        wishes: the server's, or None.
        check: see CsrBody.

    Raises:
        LocalProtocolError: the wishes demand a binding or a password; or what `check` raises.
        CsrAttributesError: the wishes cannot be met.
        KeyStoreError: the key could not sign.
    """
    url = endpoint.url(operation)
    if wishes is not None and wishes.wants_binding:
        raise LocalProtocolError(
            f"{url}: the server wants requests bound to the TLS connection, and one that is carried by hand is not",
            hint="this server can only be asked over the network",
        )
    _refuse_passwords(wishes, url)
    csr = CsrBody(key, spec, wishes, check=check, compatibility=UNBOUND, url=url)
    csr(NO_CONNECTION)
    return csr


def _refuse_passwords(wishes: CsrAttributes | None, url: str) -> None:
    """A request without what the server lists would be carried for nothing; and a password goes into no file."""
    listed = [words for oid, words in _PASSWORDS.items() if wishes is not None and oid in wishes.challenges]
    if listed:
        raise LocalProtocolError(
            f"{url}: the server wants {' and '.join(listed)} in the request, and no password goes into a file",
            hint="ask this server over the network; if it does not insist, leave its CSR attributes out (--csrattrs)",
        )


def spki_of(csr: x509.CertificateSigningRequest) -> bytes:
    """DER of the public key in a request."""
    return csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def roots_of(anchors: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Those that are trusted by themselves: a file of anchors may hold the CAs below them, as `est cacerts` writes it."""
    return tuple(anchor for anchor in anchors if is_self_signed(anchor)) or tuple(anchors)


def saved(answer: bytes, url: str, now: datetime) -> HttpResponse:
    """The answer in a file; see read_saved_answer.

    Raises:
        AuthenticationRequiredError: 401; here it is up to whoever carries the request.
        ConfigurationError, RemoteProtocolError, TruncatedResponseError: see read_saved_answer.
    """
    response = read_saved_answer(answer, url)
    if response.status_code == 401:
        try:
            refuse(response, now)
        except AuthenticationRequiredError as error:
            error.hint = (
                "carry the same request there again, and authenticate: with a user name and password (curl -u), or with a "
                "certificate of the server's CA (curl --cert, --key)"
            )
            raise
    return response


def decided(response: HttpResponse, now: datetime) -> HttpResponse:
    """The same, unless it says that somebody else has to be asked first.

    Raises:
        EnrolmentPendingError: 202.
    """
    if response.status_code == 202:
        raise EnrolmentPendingError(
            f"{response.url}: the request was accepted and is not decided yet",
            hint="carry the same request to the server again",
            url=response.url,
            retry_after_s=parse_retry_after(response.header("Retry-After"), now),
        )
    return response
