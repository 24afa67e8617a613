"""One TLS connection to one server, and one exchange at a time over it."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import itertools
import re
import socket
import ssl
import warnings
from collections.abc import Iterable, Iterator
from typing import cast

import urllib3.connection
import urllib3.exceptions

from device_sdk.errors import (
    ProxyRefusedError,
    ResponseTooLargeError,
    TlsError,
    TransportTimeoutError,
    TruncatedResponseError,
)
from device_sdk.model.http import BodySink, ConnectionFacts
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https.dial import dial
from device_sdk.transports.https.head import Fields, Response, not_http
from device_sdk.transports.https.origin import Origin
from device_sdk.transports.https.proxy import Proxy
from device_sdk.transports.https.timed import Deadline, TimedSocket, TimedTlsSocket
from device_sdk.transports.openssl_provider import export_keying_material, forget_errors, has_extended_master_secret

ERROR_BODY_BYTES = 64 * 1024
_PIECE_BYTES = 16 * 1024
_POURED_BYTES = 64 * 1024
_NUMBERS = itertools.count(1)
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")
_BINDING_LABEL = b"EXPORTER-Channel-Binding"


class DeviceConnection(urllib3.connection.HTTPSConnection):
    """urllib3's connection with deadlines, a bounded reader, and requests in one write.

    Args:
        origin: the server.
        context: makes TimedTlsSockets; decides about trust.
        timeouts: for connecting and for each read.
        proxy: where to CONNECT first, or None.

    Attributes:
        number: counted in this process, for the log.
        exchanges: how many requests it has carried.
        sent_bytes: length of the last request with its head.
    """

    response_class = Response

    def __init__(
        self,
        origin: Origin,
        context: ssl.SSLContext,
        timeouts: Timeouts,
        *,
        proxy: Proxy | None = None,
    ) -> None:
        peer = (proxy.host, proxy.port) if proxy else (origin.host, origin.port)
        super().__init__(peer[0], peer[1], ssl_context=context, assert_hostname=False)
        self.number = next(_NUMBERS)
        self.sent_bytes = 0
        self.exchanges = 0
        self._origin, self._timeouts, self._deadline = origin, timeouts, Deadline(timeouts.total_s)
        self._collected: bytearray | None = None
        self._carrier: TimedTlsSocket | None = None
        if proxy:
            self.set_tunnel(origin.host, origin.port, headers=proxy.headers(), scheme="http")

    def open(self, deadline: Deadline) -> None:
        """TCP, proxy and TLS; on return the server is authorized and nothing was sent to it.

        Raises:
            OSError, ssl.SSLError, urllib3.exceptions.HTTPError, VerificationError: as they come.
        """
        limit = self._timeouts.connect_s
        self._deadline = deadline.part(limit, "no TLS connection within {:g} s")
        try:
            with _own_words_about_the_clock():
                self.connect()
        except TimeoutError as exc:
            self.close()
            raise TransportTimeoutError(f"no TLS handshake within {limit:g} s", timeout_s=limit) from exc
        except BaseException:
            self.close()
            raise
        self.auto_open = 0  # what is sent from here on goes to this server or nowhere

    def _new_conn(self) -> socket.socket:
        plain = dial(self._dns_host, self.port, self._deadline)
        sock = TimedSocket(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.sock = sock
        sock.start(self._deadline, self._timeouts.connect_s)
        return sock

    def _tunnel(self) -> None:
        """CONNECT; what the proxy says besides its status is nobody's word about the server, and is not repeated."""
        try:
            super()._tunnel()
        except OSError as exc:
            match = _TUNNEL_REFUSED.match(str(exc))
            if match is None:
                raise
            raise _proxy_refused(f"{self.host}:{self.port}", int(match[1])) from exc
        cast(TimedSocket, self.sock).arm()

    @property
    def tls(self) -> TimedTlsSocket:
        """The open TLS socket."""
        return cast(TimedTlsSocket, self.sock)

    def is_usable(self) -> bool:
        """Whether another request may go over this connection."""
        return self.sock is not None and self.tls.is_quiet()

    def start(self, deadline: Deadline) -> None:
        """Begin an exchange that ends with the deadline."""
        self._carrier, self.sent_bytes = self.tls, 0
        self._carrier.start(deadline, self._timeouts.read_s)

    @property
    def received_bytes(self) -> int:
        """How much of the response has come since `start()`, even if the connection is gone."""
        return self._carrier.received_bytes if self._carrier else 0

    def facts(self) -> ConnectionFacts:
        """What request bodies may be bound to (EST-93, EST-98)."""
        sock, version = self.tls, self.tls.version() or ""
        cipher = sock.cipher()
        # CPython has a value for TLS 1.3 too, where it is not tls-unique (RFC 9266 section 1) but what libest uses.
        finished = sock.get_channel_binding("tls-unique")
        old = version == "TLSv1.2"
        return ConnectionFacts(
            tls_version=version,
            cipher=cipher[0] if cipher else "",
            tls_unique=finished if old else None,
            tls_finished=None if old else finished,
            tls_exporter=_exporter(sock),
            client_authenticated=getattr(sock, "certificate_used", False),
            server_certificate=sock.getpeercert(binary_form=True),
        )

    def send(self, data: bytes) -> None:  # type: ignore[override]  # urllib3 gives it bytes only
        """Send now, or with the rest of the request."""
        if self._collected is None:
            super().send(data)
        else:
            self._collected += data

    def exchange(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: bytes | None,
        limit_bytes: int,
        *,
        into: BodySink | None = None,
    ) -> tuple[int, Fields, bytes]:
        """Send one request in one write and read its whole response; both within the deadline.

        Returns:
            Status, header fields and body. The body of a status of 400 and more is cut after ERROR_BODY_BYTES, that of a 200
            is empty if `into` took it.

        Raises:
            OSError, ssl.SSLError, http.client.HTTPException: as they come.
            ResponseTooLargeError, TruncatedResponseError, RemoteProtocolError: see their classes.
        """
        forget_errors()  # left by a token that signed the body
        self._collected = bytearray()
        self.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            self.putheader(name, value)
        self.endheaders()
        message, self._collected = bytes(self._collected) + (body or b""), None
        self.sent_bytes, self.exchanges = len(message), self.exchanges + 1
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            self.send(message)  # the server may have said why, and closed before it had read everything
        response = cast(Response, http.client.HTTPConnection.getresponse(self))
        try:
            return response.status, response.fields, self._body(response, limit_bytes, into)
        finally:
            response.close()

    def _body(self, response: Response, limit_bytes: int, into: BodySink | None) -> bytes:
        if response.status >= 400:
            return self._error_body(response)
        if response.getheader("Content-Encoding", "identity").strip().lower() != "identity":
            raise not_http("the response has a Content-Encoding that was not asked for")
        if (response.length or 0) > limit_bytes:
            raise _too_large(limit_bytes)
        body = b""
        if into is not None and response.status == 200:
            _pour(response, limit_bytes, into)
        else:
            body = _read(response, limit_bytes + 1)
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        if response.length:
            raise TruncatedResponseError(f"the response ended {response.length} bytes too early")
        return body

    def _error_body(self, response: Response) -> bytes:
        """What the server says about an error; if that is noise or breaks off, the status still counts."""
        try:
            body = _read(response, ERROR_BODY_BYTES)
            complete = response.isclosed() or not (response.length or response.read(1))
        except (http.client.IncompleteRead, ssl.SSLError, ConnectionError) as exc:
            body, complete = getattr(exc, "partial", b""), False
        if not complete:
            self.close()
        return body if not response.getheader("Content-Encoding") else b""


@contextlib.contextmanager
def _own_words_about_the_clock() -> Iterator[None]:
    """Keep urllib3 from warning about a clock of 1970: a ClockError says it better."""
    if dt.date.today() >= urllib3.connection.RECENT_DATE:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.SystemTimeWarning)
        yield


def _proxy_refused(proxy: str, status: int) -> ProxyRefusedError:
    hint = "look into the proxy's log, or go without it (--proxy '', NO_PROXY)"
    if status == 407:
        hint = "give user name and password in the proxy's URL (HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT)"
    words = "asks for authentication (407)" if status == 407 else f"opens no tunnel: it answered {status}"
    return ProxyRefusedError(f"the proxy {proxy} {words}", proxy=proxy, status_code=status, hint=hint)


def _too_large(limit_bytes: int) -> ResponseTooLargeError:
    return ResponseTooLargeError(f"the response is larger than {limit_bytes} bytes", limit_bytes=limit_bytes)


def _read(response: Response, limit_bytes: int) -> bytes:
    """Up to so many bytes of content."""
    body = bytearray()
    while len(body) < limit_bytes:
        piece = response.read(min(_PIECE_BYTES, limit_bytes - len(body)))
        if not piece:
            break
        body += piece
    return bytes(body)


def _pour(response: Response, limit_bytes: int, into: BodySink) -> None:
    """The whole content, and no more than so many bytes of it."""
    into.start(response.length)
    size = 0
    while piece := response.read(_POURED_BYTES):
        size += len(piece)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        into.write(piece)


def _exporter(sock: ssl.SSLSocket) -> bytes | None:
    try:
        if sock.version() != "TLSv1.3" and not has_extended_master_secret(sock):
            return None  # RFC 9266 section 4.2
        return export_keying_material(sock, _BINDING_LABEL, 32)
    except TlsError:
        return None
