"""The requests of the EST core operations (RFC 7030 sections 4.1.2, 4.2.1, 4.2.2, 4.5.1; RFC 8295 section 9)."""

from __future__ import annotations

from device_sdk.model.http import BodyBuilder, HttpRequest
from device_sdk.protocols.est.media import PKCS10
from device_sdk.protocols.est.urls import EstEndpoint, Operation


def cacerts_request(endpoint: EstEndpoint) -> HttpRequest:
    """GET /cacerts."""
    return HttpRequest("GET", endpoint.target(Operation.CACERTS))


def csrattrs_request(endpoint: EstEndpoint) -> HttpRequest:
    """GET /csrattrs."""
    return HttpRequest("GET", endpoint.target(Operation.CSRATTRS))


def enroll_request(endpoint: EstEndpoint, body: bytes | BodyBuilder, *, renewal: bool = False) -> HttpRequest:
    """POST /simpleenroll, or /simplereenroll for a renewal; Content-Transfer-Encoding is not sent (RFC 8951 section 3).

    Args:
        endpoint: where to.
        body: the encoded CSR (device_sdk.wire.transfer.encode_body), or what makes it after the handshake (EST-96).
        renewal: renew or rekey a certificate the client has.
    """
    operation = Operation.SIMPLE_REENROLL if renewal else Operation.SIMPLE_ENROLL
    return HttpRequest("POST", endpoint.target(operation), (("Content-Type", PKCS10),), body)


def result_request(target: str) -> HttpRequest:
    """GET /simpleenroll or /simplereenroll: what became of a request that was sent before (RFC 8295 section 9, N-03)."""
    return HttpRequest("GET", target)
