"""Requests and answers as files, for a device that no network reaches: somebody carries them to the server and back.

The request is a JSON object, the answer whatever was saved of it. Nothing about the way of these files is trusted: the
answer is bound to the request by the key, and to the CA by the trust anchors, as it is online.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from device_sdk.protocols.est.media import FULLCMC_HEADERS, PKCS10
from device_sdk.protocols.est.urls import EstEndpoint, Operation

FORMAT = "device-sdk/est-request"
VERSION = 1

_PKCS7 = ("Accept", "application/pkcs7-mime")
_PKCS10 = ("Content-Type", PKCS10)
_HEADERS: dict[Operation, tuple[tuple[str, str], ...]] = {
    Operation.CACERTS: (_PKCS7,),
    Operation.CSRATTRS: (("Accept", "application/csrattrs"),),
    Operation.SIMPLE_ENROLL: (_PKCS10, _PKCS7),
    Operation.SIMPLE_REENROLL: (_PKCS10, _PKCS7),
    Operation.SERVERKEYGEN: (_PKCS10, ("Accept", "multipart/mixed")),
    Operation.FULLCMC: (*FULLCMC_HEADERS, _PKCS7),
}


@dataclass(frozen=True)
class OfflineRequest:
    """A request to be carried by hand.

    It is not bound to any TLS connection, since there is none: to a server it says who holds the key, and nothing about
    who sends it (EST-90). Whoever carries it authenticates to the server as that server wants it.

    Attributes:
        operation: the last segment of the path: "cacerts", "csrattrs", "simpleenroll", "simplereenroll", "serverkeygen" or
            "fullcmc".
        method: "GET" or "POST".
        url: absolute.
        headers: the fields that matter; Host and Content-Length are the sender's.
        body: exact bytes, base64 text (EST-41), or None.
        spki_sha256: SHA-256 of the SubjectPublicKeyInfo to certify, hex, or None.
        created: when, UTC.
    """

    operation: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    created: datetime
    body: bytes | None = field(default=None, repr=False)
    spki_sha256: str | None = None

    def to_json(self) -> dict[str, object]:
        """As data: what the file holds."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "operation": self.operation,
            "method": self.method,
            "url": self.url,
            "headers": dict(self.headers),
            "body": None if self.body is None else self.body.decode("ascii"),
            "channel_binding": None,
            "spki_sha256": self.spki_sha256,
            "created": self.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def to_bytes(self) -> bytes:
        """The file."""
        return json.dumps(self.to_json(), indent=2).encode("ascii") + b"\n"


def offline_request(
    endpoint: EstEndpoint,
    operation: Operation,
    created: datetime,
    *,
    body: bytes | None = None,
    spki: bytes = b"",
    accept: str | None = None,
) -> OfflineRequest:
    """The request of one operation.

    Args:
        endpoint: where it is meant for.
        operation: which.
        created: the present.
        body: the encoded CSR or Full PKI Request.
        spki: DER of the public key to certify.
        accept: media type that is asked for instead of the operation's own.
    """
    headers = tuple((name, accept if accept and name == "Accept" else value) for name, value in _HEADERS[operation])
    digest = hashlib.sha256(spki).hexdigest() if spki else None
    method = "POST" if body is not None else "GET"
    url = endpoint.url(operation)
    return OfflineRequest(operation.value, method, url, headers, created, body, digest)
