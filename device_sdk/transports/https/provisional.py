"""The provisional connection of bootstrap (RFC 7030 section 4.1.1): a server nobody has vouched for yet."""

from __future__ import annotations

from device_sdk.errors import LocalProtocolError
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.model.urls import without_query
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https.clock import unverified_context
from device_sdk.transports.https.origin import Origin
from device_sdk.transports.https.transport import OriginTransport

_SECRETS = {"authorization", "proxy-authorization", "cookie"}


class ProvisionalTransport(OriginTransport):
    """GET of /cacerts from an unauthenticated server, and nothing else (EST-70 to EST-74).

    No client certificate is shown, no credential is sent, and whatever comes back proves nothing until its fingerprint
    was compared.

    Args:
        url: any https URL of the server; only scheme, host and port count.
        timeouts: limits of every exchange.
        proxy: an http:// proxy's URL, "" for none, None for HTTPS_PROXY and NO_PROXY of the environment.
        max_tls_version: as for HttpsTransport.

    Raises:
        ConfigurationError: see Origin.parse, harden and choose_proxy.
    """

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  # frozen
        proxy: str | None = None,
        max_tls_version: str | None = None,
    ) -> None:
        super().__init__(Origin.parse(url), unverified_context(max_tls_version), timeouts, proxy=proxy)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Carry a request for /cacerts.

        Raises:
            LocalProtocolError: any other request; nothing was sent.
            TransportError, RemoteProtocolError: see Transport.send.
        """
        if request.method != "GET" or not request.target.lower().endswith("/cacerts") or request.body is not None:
            raise LocalProtocolError(
                f"{self.origin}: {request.method} {without_query(request.target)} to a server that is not authenticated",
                hint="before its CA is trusted only /cacerts may be asked for",
            )
        for name, _ in request.headers:
            if name.lower() in _SECRETS:
                raise LocalProtocolError(f"{self.origin}: {name} is not for a server that is not authenticated")
        return super().send(request)
