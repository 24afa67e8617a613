"""The requests of the EST core operations (RFC 7030 sections 4.1.2, 4.2.1, 4.2.2, 4.5.1; RFC 8295 section 9)."""

from __future__ import annotations

from device_sdk.model.http import BodyBuilder, HttpRequest
from device_sdk.protocols.est.media import PKCS10
from device_sdk.protocols.est.urls import EstEndpoint, Operation


def cacerts_request(endpoint: EstEndpoint) -> HttpRequest:
    """GET /cacerts."""
    return HttpRequest("GET", endpoint.target(Operation.CACERTS))


def csrattrs_request(endpoint: EstEndpoint, target: str | None = None) -> HttpRequest:
    """GET /csrattrs, or what an entry of the package list has below it; ConfigurationError for another place."""
    place = endpoint.place(target, Operation.CSRATTRS)
    return HttpRequest("GET", place, operation=Operation.CSRATTRS.value)


def enroll_request(
    endpoint: EstEndpoint, body: bytes | BodyBuilder, *, renewal: bool = False, target: str | None = None
) -> HttpRequest:
    """POST /simpleenroll, or /simplereenroll for a renewal; Content-Transfer-Encoding is not sent (RFC 8951 section 3).

    Args:
        endpoint: where to.
        body: the encoded CSR (device_sdk.wire.transfer.encode_body), or what makes it after the handshake (EST-96).
        renewal: renew or rekey a certificate the client has.
        target: the request target an entry of the package list has, at either operation; by default the operation's own.

    Raises:
        ConfigurationError: a target elsewhere.
    """
    one, other = Operation.SIMPLE_ENROLL, Operation.SIMPLE_REENROLL
    operation = other if renewal else one
    if target is not None and endpoint.is_at(one if renewal else other, target):
        operation = one if renewal else other
    place = endpoint.place(target, operation)
    return HttpRequest("POST", place, (("Content-Type", PKCS10),), body, operation=operation.value)


def result_request(target: str, operation: Operation) -> HttpRequest:
    """GET instead of POST: what became of a request that was sent before (RFC 8295 section 9, N-03).

    Args:
        target: where it is.
        operation: that of the target.
    """
    return HttpRequest("GET", target, operation=operation.value)
