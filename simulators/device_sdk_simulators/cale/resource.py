"""The resource server: has the data, and gives it in clear to origination servers only (CALE-58, CALE-59)."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.certificates import NotAcceptedError, accept_certificate
from device_sdk_simulators.cale.padding import JSON
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.http.messages import Request, Response

LARGEST_DOCUMENT = 11 * 1024 * 1024
"""Bytes of one that still reach a client: filled up, encrypted and in lines of base64 it is a third longer, and has to fit into
what one role takes from another."""


class ResourceServer:
    """One resource server.

    Args:
        issuer: certificate of the authorization server's CA.
        clock: judges certificates.
        peers: names of the origination servers that may call.
        rules: how certificates are judged.

    Attributes:
        documents: what there is, by path; can be changed while it runs.
    """

    def __init__(
        self,
        issuer: x509.Certificate,
        clock: Callable[[], datetime],
        peers: tuple[str, ...] = ("origination",),
        rules: CaleRules | None = None,
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self._peers = peers
        self._rules = rules or CaleRules()
        self.documents: dict[str, bytes] = {"/aggregate": b'{"foo": "bar"}\n'}

    def handle(self, request: Request, peer: str) -> Response:
        """Answer an origination server."""
        if peer not in self._peers:
            return Response(403, facts={"reason": "not a listed peer"})
        facts: dict[str, object] = {"correlation": request.header(headers.CORRELATION)}
        if request.method != "GET" or request.header_values(headers.CIPHER):
            # with Cipher the answer would have to be encrypted, and this is not the role that does it
            return Response(400, facts=facts | {"reason": "not a request of an origination server"})
        try:
            certificate = headers.certificate_of(request)
            owner = accept_certificate(
                certificate,
                self._issuer,
                self._clock(),
                skew=self._rules.clock_skew,
                max_lifetime=self._rules.max_lifetime,
            )
        except (ValueError, NotAcceptedError) as error:
            response = Response.text(403, str(error))
            response.facts |= facts
            return response
        document = self.documents.get(request.path)
        facts["owner"] = owner.name
        if document is None:
            return Response(404, facts=facts)
        return Response(200, [("Content-Type", media_type_of(request.path, document))], document, facts=facts)


def media_type_of(path: str, document: bytes) -> str:
    """The media type of a document: what its name says, or JSON if it is that."""
    guessed, _encoding = mimetypes.guess_type(path)
    if guessed is not None:
        return guessed
    try:
        json.loads(document)
    except (ValueError, RecursionError):
        return "application/octet-stream"
    return JSON
