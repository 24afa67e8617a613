"""The same TLS for programs that use requests."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from device_sdk.errors import ConfigurationError, LocalProtocolError
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.transports.https.tls import client_ssl_context
from device_sdk.transports.https.total_time import bound_exchanges


class HardwareTlsAdapter(HTTPAdapter):
    """TLS client authentication with a key of a token or TPM: `session.mount("https://host", HardwareTlsAdapter(...))`.

    Mount it on the base URL it is for, so that a redirect elsewhere does not show the device's certificate. Trust comes
    from `trust` alone: certifi and REQUESTS_CA_BUNDLE play no part. The server is authorized as `HttpsTransport` does it;
    if it is not, or if the key fails, requests lets the SDK's own error through.

    Args:
        trust: the trust anchors.
        identity: certificate chain and key.
        max_tls_version: "1.2", or None for the newest.
        total_s: seconds for everything from a request to the last byte of its answer, after which TransportTimeoutError is
            raised; None for any time. The `timeout` of requests is for each wait: a server that sends a byte, or a
            100 Continue, before each is over never ends. With `stream=True` the time your program takes counts, too, unless
            CaleAuth reads the answer. Not through a proxy that is itself spoken to by https.
        options: passed on to HTTPAdapter (pool_maxsize, max_retries, ...).

    Raises:
        ConfigurationError, TlsKeyUnavailableError: see client_ssl_context.
    """

    def __init__(
        self,
        trust: ServerTrust,
        identity: TlsIdentity | None = None,
        *,
        max_tls_version: str | None = None,
        total_s: float | None = None,
        **options: Any,
    ) -> None:
        self._context = client_ssl_context(trust, identity, max_tls_version=max_tls_version)
        self._total_s = total_s
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Give the pools our context."""
        super().init_poolmanager(*args, **options, ssl_context=self._context)
        if self._total_s is not None:
            bound_exchanges(self.poolmanager, self._total_s)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Give the pools behind a proxy our context, for the TLS inside the tunnel."""
        manager = super().proxy_manager_for(proxy, **options, ssl_context=self._context)
        if self._total_s is not None:
            bound_exchanges(manager, self._total_s)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """As in requests.

        Raises:
            LocalProtocolError: not an https URL.
            ConfigurationError: `verify=False` or `cert=`.
        """
        if not (request.url or "").lower().startswith("https://"):
            raise LocalProtocolError("this adapter carries https only", hint="mount it on an https:// prefix")
        return super().send(request, *args, **options)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Where to connect, and no trust anchors but our own; the context checks the name itself."""
        if verify is False or cert is not None:
            raise ConfigurationError(
                "verify=False and cert= have no place here", hint="trust and key are given to HardwareTlsAdapter"
            )
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"cert_reqs": "CERT_REQUIRED", "ssl_context": self._context, "assert_hostname": False}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Keep the trust anchors of requests out of the connection."""
        conn.cert_reqs, conn.ca_certs, conn.ca_cert_dir, conn.ca_cert_data = "CERT_REQUIRED", None, None, None
