"""The resource server: has the data, and gives it in clear to origination servers only (CALE-58, CALE-59)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.certificates import NotAcceptedError, accept_certificate
from device_sdk_simulators.http.messages import Request, Response


class ResourceServer:
    """One resource server.

    Args:
        issuer: certificate of the authorization server's CA.
        clock: judges certificates.
        peers: names of the origination servers that may call.

    Attributes:
        documents: what there is, by path; can be changed while it runs.
    """

    def __init__(
        self, issuer: x509.Certificate, clock: Callable[[], datetime], peers: tuple[str, ...] = ("origination",)
    ) -> None:
        self._issuer = issuer
        self._clock = clock
        self._peers = peers
        self.documents: dict[str, bytes] = {"/aggregate": b'{"foo": "bar"}\n'}

    def handle(self, request: Request, peer: str) -> Response:
        """Answer an origination server."""
        if peer not in self._peers:
            return Response(403)
        try:
            certificate = headers.certificate_from_header(request.header(headers.CERTIFICATE) or "")
            accept_certificate(certificate, self._issuer, self._clock())
        except (ValueError, NotAcceptedError) as error:
            return Response.text(403, str(error))
        document = self.documents.get(request.path)
        return Response(404) if document is None else Response(200, body=document)
