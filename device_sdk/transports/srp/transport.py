"""The transport of certificate-less TLS."""

from __future__ import annotations

from device_sdk.errors import SharedSecretError
from device_sdk.model.credentials import Credentials
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https.origin import Origin
from device_sdk.transports.https.transport import OriginTransport
from device_sdk.transports.srp.tls import srp_context


class SrpTransport(OriginTransport):
    """HTTPS to a server that proves to know the password of a user, as the client does (RFC 7030 section 3.3.3, EST-64).

    The name in the URL plays no part: who knows the password is authorized. A wrong password is tried once.

    Args:
        url: any https URL of the server; only scheme, host and port count.
        credentials: user name and password.
        timeouts: limits of every exchange.
        proxy: an http:// proxy's URL, "" for none, None for HTTPS_PROXY and NO_PROXY of the environment.

    Raises:
        ConfigurationError: see Origin.parse, srp_context and choose_proxy.
        SrpUnavailableError: this Python's OpenSSL has no SRP.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        *,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  # frozen
        proxy: str | None = None,
    ) -> None:
        super().__init__(Origin.parse(url), srp_context(credentials), timeouts, proxy=proxy)
        self._refused: SharedSecretError | None = None

    def send(self, request: HttpRequest) -> HttpResponse:
        """Carry one request; see OriginTransport.send.

        Raises:
            SharedSecretError: the password is wrong, or the server does not know it; later calls do not try again.
        """
        if self._refused is not None:
            again = SharedSecretError(self._refused.message, hint=self._refused.hint, user=self._refused.user)
            again.url = self._refused.url
            raise again from self._refused
        try:
            return super().send(request)
        except SharedSecretError as exc:
            self._refused = exc
            raise
