"""What the requests and answers of OfflineEst have in common."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.est.csr_body import CsrBody, CsrCheck
from device_sdk.errors import EnrolmentPendingError, LocalProtocolError
from device_sdk.model.compatibility import Compatibility
from device_sdk.model.csr import CsrSpec
from device_sdk.model.http import HttpResponse
from device_sdk.model.keys import PrivateKey
from device_sdk.protocols.est.responses import refuse
from device_sdk.protocols.est.retry_after import parse_retry_after
from device_sdk.protocols.est.saved_answer import NO_CONNECTION
from device_sdk.protocols.est.urls import EstEndpoint, Operation
from device_sdk.wire.csrattrs import CsrAttributes
from device_sdk.wire.path import is_self_signed

UNBOUND = Compatibility(binding="none")


def unbound_csr(
    endpoint: EstEndpoint,
    operation: Operation,
    key: PrivateKey,
    spec: CsrSpec,
    wishes: CsrAttributes | None,
    *,
    check: CsrCheck | None = None,
) -> CsrBody:
    """A request that is bound to no connection, made and signed.

    Args:
        endpoint: where it is meant for.
        operation: which.
        key: signs it.
        spec: what to ask for.
        wishes: the server's, or None.
        check: see CsrBody.

    Raises:
        LocalProtocolError: the wishes demand a binding; or what `check` raises.
        CsrAttributesError: the wishes cannot be met.
        KeyStoreError: the key could not sign.
    """
    url = endpoint.url(operation)
    if wishes is not None and wishes.wants_binding:
        raise LocalProtocolError(
            f"{url}: the server wants requests bound to the TLS connection, and one that is carried by hand is not",
            hint="this server can only be asked over the network",
        )
    csr = CsrBody(key, spec, wishes, check=check, compatibility=UNBOUND, url=url)
    csr(NO_CONNECTION)
    return csr


def spki_of(csr: x509.CertificateSigningRequest) -> bytes:
    """DER of the public key in a request."""
    return csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def roots_of(anchors: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Those that are trusted by themselves: a file of anchors may hold the CAs below them, as `est cacerts` writes it."""
    return tuple(anchor for anchor in anchors if is_self_signed(anchor)) or tuple(anchors)


def decided(response: HttpResponse, now: datetime) -> HttpResponse:
    """The same, unless it says that somebody else has to be asked first.

    Raises:
        EnrolmentPendingError: 202.
        AuthenticationRequiredError: 401.
    """
    if response.status_code == 401:
        refuse(response, now)
    if response.status_code == 202:
        raise EnrolmentPendingError(
            f"{response.url}: the request was accepted and is not decided yet",
            hint="carry the same request to the server again",
            url=response.url,
            retry_after_s=parse_retry_after(response.header("Retry-After"), now),
        )
    return response
