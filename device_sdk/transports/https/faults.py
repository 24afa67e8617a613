"""From the exceptions of sockets, ssl, http.client and urllib3 to the errors of the SDK."""

from __future__ import annotations

import http.client
import socket
import ssl

import urllib3.exceptions

from device_sdk.errors import (
    ClientCertificateRefusedError,
    DeviceSdkError,
    ServerNotTrustedError,
    TlsError,
    TransportError,
    TransportTimeoutError,
    TruncatedResponseError,
    VerificationError,
)
from device_sdk.transports.base import Timeouts

FOREIGN = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)
"""What may come out of a connection, besides the SDK's own errors."""

NOT_YET_VALID = 9
_EXPIRED = 10
_NAMES = "a CA certificate limits the names below it (name constraints): the server needs a certificate of another name or CA"
_TRUST_HINTS = {
    _EXPIRED: "the server's certificate must be renewed; if it is valid, correct this machine's clock",
    18: "the server's certificate is self-signed: make it an Explicit trust anchor if it is the one expected",
    19: "the CA of the server is not among the trust anchors: add it, or bootstrap again with its fingerprint",
    20: "the CA of the server is not among the trust anchors, or the server leaves out its intermediate certificates",
    26: "the server's certificate is not one for TLS servers",
    47: _NAMES,
    48: _NAMES,
}
_ALERT_HINTS = {
    "CERTIFICATE_REQUIRED": "the server wants a TLS client certificate: enrol first, or give certificate and key",
    "HANDSHAKE_FAILURE": "the server wants a client certificate, or shares no cipher suite with this client",
    "UNKNOWN_CA": "the server does not know the CA of the client certificate",
    "BAD_CERTIFICATE": "the server refuses the client certificate",
    "CERTIFICATE_UNKNOWN": "the server refuses the client certificate",
    "CERTIFICATE_EXPIRED": "the client certificate has expired: enrol again",
    "CERTIFICATE_REVOKED": "the client certificate was revoked",
    "PROTOCOL_VERSION": "the server speaks neither TLS 1.2 nor TLS 1.3",
    "UNSUPPORTED_PROTOCOL": "the server speaks neither TLS 1.2 nor TLS 1.3",
    "WRONG_VERSION_NUMBER": "that port does not speak TLS; is it the one for plain HTTP?",
    "HTTP_REQUEST": "that port does not speak TLS; is it the one for plain HTTP?",
    "ACCESS_DENIED": "the server does not let this client certificate in",
    "UNSUPPORTED_CERTIFICATE": "the server cannot use a client certificate of this kind",
    "NO_RENEGOTIATION": "the server wants to renegotiate; let it ask for the certificate in the first handshake",
}
_NO_TLS = "does that port speak TLS? If it does, look into the log of the server, or of what stands in front of it"

# RFC 8446 section 6.2: what a server says about the certificate it was shown, or was not.
_ABOUT_THE_CERTIFICATE = (
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
)


def is_lost_connection(exc: BaseException) -> bool:
    """Whether the connection went away, as idle connections do."""
    return isinstance(exc, ConnectionError | ssl.SSLZeroReturnError) or ended_without_close_notify(exc)


def ended_without_close_notify(exc: BaseException) -> bool:
    """Whether the TCP connection ended in the middle of TLS; Python before 3.11.4 raises OpenSSL 3's own error."""
    if isinstance(exc, ssl.SSLEOFError):
        return True
    return isinstance(exc, ssl.SSLError) and exc.reason == "UNEXPECTED_EOF_WHILE_READING"


def translate(
    exc: BaseException, url: str, timeouts: Timeouts, *, unanswered: bool = False, authorized: bool = False
) -> DeviceSdkError:
    """The SDK's error for a foreign one.

    Args:
        exc: one of FOREIGN.
        url: what was being done to whom.
        timeouts: the limits that were in force.
        unanswered: the connection was lost before a byte of the response came.
        authorized: the handshake was over and the server authorized, so what came is the server's word.
    """
    if unanswered:
        return TransportError(
            f"{url}: the server closed the connection without an answer ({_words(exc)})",
            url=url,
            hint="look into the server's log; a server that misses a TLS client certificate may do this",
        )
    root = exc.__cause__ if isinstance(exc, urllib3.exceptions.HTTPError) and exc.__cause__ else exc
    if isinstance(root, ssl.SSLCertVerificationError):
        return _not_trusted(root, url)
    if isinstance(root, TimeoutError):
        limit = timeouts.connect_s if root is not exc else timeouts.read_s
        return TransportTimeoutError(f"{url}: no answer for {limit:g} s", url=url, timeout_s=limit)
    if isinstance(root, http.client.IncompleteRead) or ended_without_close_notify(root):
        return TruncatedResponseError(f"{url}: the connection ended before the response was complete", url=url)
    if isinstance(root, ssl.SSLError):
        return _tls_error(root, url, authorized=authorized)
    if isinstance(root, socket.gaierror):
        return TransportError(
            f"{url}: the name cannot be resolved ({root.strerror})", url=url, hint="check name and DNS"
        )
    if isinstance(root, ConnectionRefusedError):
        return TransportError(
            f"{url}: connection refused", url=url, hint="is the server running, and is the port right?"
        )
    return TransportError(f"{url}: {_words(root)}", url=url, hint="check the network and the server, then try again")


def _words(exc: BaseException) -> str:
    if isinstance(exc, http.client.RemoteDisconnected) or ended_without_close_notify(exc):
        return "end of stream"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror.lower()
    return str(exc) or type(exc).__name__


def _not_trusted(exc: ssl.SSLCertVerificationError, url: str) -> VerificationError:
    reason = exc.verify_message
    return ServerNotTrustedError(
        f"{url}: the server's certificate is not trusted: {reason}",
        url=url,
        reason=reason,
        hint=_TRUST_HINTS.get(exc.verify_code, "check the trust anchors and the server's certificate"),
    )


def _tls_error(exc: ssl.SSLError, url: str, *, authorized: bool) -> TlsError:
    reason = exc.reason or "UNKNOWN"
    hint = next((text for word, text in _ALERT_HINTS.items() if reason.endswith(word)), _NO_TLS)
    words = f"{url}: TLS failed: {reason.lower().replace('_', ' ')}"
    if authorized and reason.endswith(_ABOUT_THE_CERTIFICATE):
        return ClientCertificateRefusedError(words, url=url, hint=hint, certificate_refused=True)
    return TlsError(words, url=url, hint=hint)
