"""No connection, or it broke."""

from __future__ import annotations

from device_sdk.errors.base import DeviceSdkError


class TransportError(DeviceSdkError):
    """No connection, or it broke; `url` is the endpoint; `request_sent` is False if nothing of the request was sent.

    `proxy` is the address of the proxy it went through, if there was one.
    """

    code = "transport"
    exit_code = 5
    url: str | None = None
    request_sent: bool | None = None
    proxy: str | None = None


class TransportTimeoutError(TransportError):
    """Nothing came in time; `timeout_s` is the limit that was reached."""

    code = "timeout"
    hint = "network or server are slow, or do not answer: try again, with more time (--timeout), or look into the server's log"
    timeout_s: float | None = None


class ProxyRefusedError(TransportError):
    """The proxy opened no tunnel; `proxy` is its address, `status_code` what it answered (407: it wants a password)."""

    code = "proxy-refused"
    status_code: int | None = None


class TruncatedResponseError(TransportError):
    """The response ended before it was complete."""

    code = "truncated"
    hint = "try again; if it stays so, look into the log of the server, or of the proxy or firewall in front of it"


class ResponseTooLargeError(TransportError):
    """The response is larger than `limit_bytes`; another attempt gives the same, so this is no matter of the network."""

    code = "too-large"
    exit_code = 7
    hint = "check the URL; if it is right, look into the server's log, or ask its operator"
    limit_bytes: int | None = None


class TlsError(TransportError):
    """The handshake failed for a reason other than the server's identity.

    `certificate_refused` is True if the server said so of the client certificate, by an alert that only it can have sent: after
    the handshake, under its keys. An alert in the middle of a handshake may be anybody's, and leaves it unset.
    """

    code = "tls"
    certificate_refused: bool | None = None


class ClientCertificateRefusedError(TlsError):
    """The server does not accept the client certificate, or misses one: unknown CA, expired, revoked.

    Only where that can be told from an alert of a stranger; see TlsError.
    """

    code = "client-certificate-refused"
    exit_code = 7


class TlsKeyUnavailableError(TlsError):
    """This Python's TLS library cannot be given a hardware key."""

    code = "tls-key-unavailable"


class SrpUnavailableError(TlsError):
    """This Python's TLS library has no certificate-less TLS (SRP), or does not let it be reached."""

    code = "srp-unavailable"
