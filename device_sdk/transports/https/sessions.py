"""TLS sessions to resume, which spares the token or TPM a signature (EST-57), and what they were authorized for."""

from __future__ import annotations

import datetime as dt
import hashlib
import ssl

from cryptography import x509

from device_sdk.errors import ServerNotAuthorizedError, ServerNotTrustedError
from device_sdk.model.forks import ForkLock

_LIMIT = 32


class Sessions:
    """Sessions of one TLS context by host and port; each is offered once (RFC 8446 appendix C.4). Thread-safe."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._kept: dict[tuple[str, int], ssl.SSLSession] = {}
        self._authorized: set[tuple[str, bytes]] = set()

    def keep(self, host: str, port: int, session: ssl.SSLSession) -> None:
        """Remember a session of an authorized connection."""
        with self._lock:
            self._kept[host, port] = session
            while len(self._kept) > _LIMIT:
                del self._kept[next(iter(self._kept))]

    def take(self, host: str, port: int) -> ssl.SSLSession | None:
        """A session to offer to this server, or None."""
        with self._lock:
            return self._kept.pop((host, port), None)

    def authorized(self, host: str, leaf: bytes) -> None:
        """This certificate was verified and authorized for this host, in a full handshake."""
        with self._lock:
            self._authorized.add((host, hashlib.sha256(leaf).digest()))

    def check(self, host: str, leaf: bytes | None) -> None:
        """Stand in for verification in an abbreviated handshake, where there is no path to look at.

        Args:
            host: of the URL.
            leaf: the certificate of the session's first handshake, DER.

        Raises:
            ServerNotAuthorizedError: the session is one of another host.
            ServerNotTrustedError: the certificate has expired since.
        """
        with self._lock:
            known = leaf is not None and (host, hashlib.sha256(leaf).digest()) in self._authorized
        if leaf is None or not known:
            raise ServerNotAuthorizedError(f"the TLS session was not made with {host}")
        if x509.load_der_x509_certificate(leaf).not_valid_after_utc < dt.datetime.now(dt.UTC):
            reason = "certificate has expired"
            raise ServerNotTrustedError(f"the server's certificate is not trusted: {reason}", reason=reason)
