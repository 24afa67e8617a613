"""A hop to a role in another process: HTTP/1.1 over mutual TLS, connections kept, every wait bounded (CALE-30, CALE-52)."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from cryptography import x509

from device_sdk_simulators.cale.exchanges import Allowance, Exchanges, TlsSocket
from device_sdk_simulators.cale.hops import (
    HopError,
    HopProtocolError,
    HopTimeoutError,
    HopTrustError,
    HopUnreachableError,
)
from device_sdk_simulators.cale.peers import Peers, fingerprint, names_of
from device_sdk_simulators.cale.room import take
from device_sdk_simulators.http.messages import Request, Response

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of an answer that one role takes from another."""
_KEPT = 16
_COPIES = 5
"""Of an answer at most, in clear or encrypted already, until it goes on."""
_REPEATABLE = ("GET", "HEAD")


@dataclass(frozen=True)
class HopSettings:
    """What a caller shows and whom it believes.

    Attributes:
        url: "https://HOST:PORT" of the role.
        peer: the role's name or fingerprint, as for Peers.
        certificate: PEM with the caller's certificate.
        key: PEM with its key.
        anchors: PEM with the CA of the roles.
        timeout_s: for connecting, and for every wait of an exchange, which as a whole may take four times as long.
        body_bytes: the largest acceptable answer.
    """

    url: str
    peer: str
    certificate: Path
    key: Path
    anchors: Path
    timeout_s: float = 5.0
    body_bytes: int = LONGEST_ANSWER


class RemoteHop:
    """Carries requests to one role; safe for many threads, each exchange has a connection of its own.

    Args:
        settings: see HopSettings; ValueError for a URL or a peer that cannot be one, OSError and ssl.SSLError for files
            that cannot be read.
    """

    def __init__(self, settings: HopSettings) -> None:
        parts = urlsplit(settings.url)
        if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError(f"{settings.url!r} is not https://HOST:PORT")
        self._settings = settings
        self._host, self._port = parts.hostname, parts.port or 443
        self._peers = Peers([settings.peer])
        self._context = ssl.create_default_context(cafile=str(settings.anchors))
        # the peer has a name on our list, wherever it listens
        self._context.check_hostname = False
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context.load_cert_chain(settings.certificate, settings.key)
        self._context.sslsocket_class = TlsSocket
        self._exchanges = Exchanges()
        self._idle: deque[http.client.HTTPSConnection] = deque()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response:
        """Send a request and read its answer; HopError."""
        allowance = Allowance(self._settings.timeout_s)
        connection = self._kept() if request.method in _REPEATABLE else None
        if connection is not None:
            try:
                return self._exchange(connection, request, allowance)
            except _StaleError:
                # The other side has ended the kept connection, most likely while nothing was asked. It may have had the
                # request all the same: so reading is asked for once more, and nothing else goes over kept connections.
                pass
        try:
            return self._exchange(self._connect(allowance), request, allowance)
        except _StaleError as error:
            raise HopProtocolError(f"{self._settings.url}: ended the connection without an answer") from error

    def _kept(self) -> http.client.HTTPSConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self, allowance: Allowance) -> http.client.HTTPSConnection:
        url = self._settings.url
        connection = http.client.HTTPSConnection(self._host, self._port, context=self._context)
        try:
            connection.timeout = allowance.wait()
            connection.connect()
            self._check_peer(connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise HopTimeoutError(f"{url}: no connection in time") from error
            if isinstance(error, ssl.SSLError):
                raise HopTrustError(f"{url}: TLS failed: {error.reason or error}") from error
            if isinstance(error, OSError):
                raise HopUnreachableError(f"{url}: {error.strerror or error}") from error
            raise
        return connection

    def _check_peer(self, connection: http.client.HTTPSConnection) -> None:
        sock = connection.sock
        der = sock.getpeercert(binary_form=True) if isinstance(sock, ssl.SSLSocket) else None
        certificate = x509.load_der_x509_certificate(der) if der else None
        if self._peers.name_of(certificate) is None:
            raise HopTrustError(f"{self._settings.url}: {_shown(certificate)} answers there, and not {self._peers}")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _exchange(self, connection: http.client.HTTPSConnection, request: Request, allowance: Allowance) -> Response:
        url, done = self._settings.url, False
        try:
            with self._exchanges.under_way(cast("TlsSocket", connection.sock), allowance):
                _send(connection, request)
                # a response keeps the socket, also beside its connection
                with connection.getresponse() as response:
                    allowance.answer_began()
                    answer = self._read(response, allowance)
                    done = not response.will_close
            return answer
        except TimeoutError as error:
            raise HopTimeoutError(f"{url}: no answer in time") from error
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionError, ssl.SSLEOFError) as error:
            _read_alert(connection, url)
            raise _StaleError(f"{url}: {error}") from error
        except ssl.SSLError as error:
            # with TLS 1.3 this is where a refused certificate shows
            raise HopTrustError(f"{url}: TLS failed: {error.reason or error}") from error
        except (http.client.HTTPException, ValueError) as error:
            # ValueError: http.client does not send such a request
            raise HopProtocolError(f"{url}: not HTTP: {type(error).__name__}") from error
        except OSError as error:
            raise HopUnreachableError(f"{url}: {error.strerror or error}") from error
        finally:
            self._put_back(connection, usable=done)

    def _read(self, response: http.client.HTTPResponse, allowance: Allowance) -> Response:
        url = self._settings.url
        if (response.length or 0) > self._settings.body_bytes:
            raise HopProtocolError(f"{url}: the answer has more than {self._settings.body_bytes} bytes")
        take(self._settings.body_bytes if response.length is None else response.length, _COPIES, allowance.end)
        body = response.read(self._settings.body_bytes + 1)
        if len(body) > self._settings.body_bytes:
            raise HopProtocolError(f"{url}: the answer has more than {self._settings.body_bytes} bytes")
        if response.length:
            raise HopProtocolError(f"{url}: the answer ended {response.length} bytes early")
        return Response(response.status, _content_headers(response), body)

    def _put_back(self, connection: http.client.HTTPSConnection, *, usable: bool) -> None:
        with self._lock:
            if usable and len(self._idle) < _KEPT and not self._exchanges.closed:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """End the connections, those in use too; there are no others after it."""
        self._exchanges.close()
        with self._lock:
            kept, self._idle = self._idle, deque()
        for connection in kept:
            connection.close()


def _shown(certificate: x509.Certificate | None) -> str:
    """Whoever has a certificate, by every name that a list may have."""
    if certificate is None:
        return "somebody without a certificate"
    return " or ".join((*(repr(name) for name in names_of(certificate)), f"sha256:{fingerprint(certificate)}"))


class _StaleError(HopError):
    """The connection ended before an answer began."""


def _read_alert(connection: http.client.HTTPSConnection, url: str) -> None:
    """HopTrustError if the other side said in TLS why it left; it can do so while we are still writing."""
    sock: socket.socket | None = connection.sock
    try:
        if sock is not None:
            sock.recv(1)
    except ssl.SSLEOFError:
        return
    except ssl.SSLError as error:
        raise HopTrustError(f"{url}: TLS failed: {error.reason or error}") from error
    except OSError:
        return


def _send(connection: http.client.HTTPSConnection, request: Request) -> None:
    connection.putrequest(request.method, request.target, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value)
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        connection.putheader("Content-Length", str(len(request.body)))
    connection.endheaders(request.body or None)


_FRAMING = {"content-length", "transfer-encoding", "connection", "keep-alive", "date", "trailer", "upgrade"}


def _content_headers(response: http.client.HTTPResponse) -> list[tuple[str, str]]:
    """The fields about the content, in order, duplicates and folds kept; what frames a message stays on its hop."""
    return [(name, value) for name, value in response.getheaders() if name.lower() not in _FRAMING]
