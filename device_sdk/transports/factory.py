"""Open transports without importing what they are made of before that."""

from __future__ import annotations

from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.transports.base import Timeouts, Transport

_DEFAULT = Timeouts()


def open_transport(
    url: str,
    trust: ServerTrust,
    *,
    identity: TlsIdentity | None = None,
    timeouts: Timeouts = _DEFAULT,
    proxy: str | None = None,
    max_tls_version: str | None = None,
) -> Transport:
    """A transport to a server that must be trusted and authorized; see HttpsTransport.

    Raises:
        ConfigurationError: the URL, the trust anchors, the identity or the proxy cannot work.
        TlsKeyUnavailableError: this Python's OpenSSL cannot be given the key.
    """
    from device_sdk.transports.https.transport import HttpsTransport

    return HttpsTransport(
        url, trust, identity=identity, timeouts=timeouts, proxy=proxy, max_tls_version=max_tls_version
    )


def open_provisional_transport(url: str, *, timeouts: Timeouts = _DEFAULT, proxy: str | None = None) -> Transport:
    """A transport for bootstrap that carries GET of /cacerts only; see ProvisionalTransport.

    Raises:
        ConfigurationError: the URL or the proxy cannot work.
    """
    from device_sdk.transports.https.provisional import ProvisionalTransport

    return ProvisionalTransport(url, timeouts=timeouts, proxy=proxy)


def self_test() -> str:
    """Prove that keys of tokens and TPMs can authenticate TLS in this process; gives the TLS library's version.

    Raises:
        TlsKeyUnavailableError: they cannot; says why.
    """
    import ssl

    from device_sdk.transports.openssl_provider import ensure_available

    ensure_available()
    return ssl.OPENSSL_VERSION
