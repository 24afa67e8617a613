"""Open transports without importing what they are made of before that."""

from __future__ import annotations

from device_sdk.errors import ConfigurationError
from device_sdk.model.credentials import Credentials
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
    srp: Credentials | None = None,
) -> Transport:
    """A transport to a server that must be trusted and authorized; see HttpsTransport, and SrpTransport where `srp` is given.

    Raises:
        ConfigurationError: the URL, the trust anchors, the identity or the proxy cannot work, or do not go with `srp`.
        TlsKeyUnavailableError: this Python's OpenSSL cannot be given the key.
        SrpUnavailableError: this Python's OpenSSL has no SRP.
    """
    if srp is not None:
        return _open_srp_transport(url, trust, identity, srp, timeouts, proxy)
    from device_sdk.transports.https.transport import HttpsTransport

    return HttpsTransport(
        url, trust, identity=identity, timeouts=timeouts, proxy=proxy, max_tls_version=max_tls_version
    )


def _open_srp_transport(
    url: str, trust: ServerTrust, identity: TlsIdentity | None, srp: Credentials, timeouts: Timeouts, proxy: str | None
) -> Transport:
    if identity is not None or trust.implicit:
        raise ConfigurationError(
            "certificate-less TLS shows no client certificate and asks no CA about the server",
            hint="leave out the TLS certificate and the Implicit trust anchors, or leave out SRP",
        )
    from device_sdk.transports.srp import SrpTransport

    return SrpTransport(url, srp, timeouts=timeouts, proxy=proxy)


def open_provisional_transport(
    url: str, *, timeouts: Timeouts = _DEFAULT, proxy: str | None = None, max_tls_version: str | None = None
) -> Transport:
    """A transport for bootstrap that carries GET of /cacerts only; see ProvisionalTransport.

    Raises:
        ConfigurationError: the URL or the proxy cannot work.
    """
    from device_sdk.transports.https.provisional import ProvisionalTransport

    return ProvisionalTransport(url, timeouts=timeouts, proxy=proxy, max_tls_version=max_tls_version)


def self_test() -> str:
    """Prove that keys of tokens and TPMs can authenticate TLS in this process; gives the TLS library's version.

    Raises:
        TlsKeyUnavailableError: they cannot; says why.
    """
    import ssl

    from device_sdk.transports.openssl_provider import ensure_available

    ensure_available()
    return ssl.OPENSSL_VERSION
