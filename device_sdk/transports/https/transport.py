"""The HTTPS transport: one origin, one trust decision, one TLS identity, one connection."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from functools import partial

from device_sdk._version import __version__
from device_sdk.errors import DeviceSdkError, LocalProtocolError, TlsError, TransportError
from device_sdk.model.forks import ForkLock
from device_sdk.model.http import BodyBuilder, ConnectionFacts, HttpRequest, HttpResponse
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.model.urls import without_query
from device_sdk.transports.base import Timeouts, Transport
from device_sdk.transports.https.clock import clock_error
from device_sdk.transports.https.connection import DeviceConnection
from device_sdk.transports.https.faults import (
    FOREIGN,
    ended_without_close_notify,
    is_lost_connection,
    translate,
)
from device_sdk.transports.https.generations import SIGNATURE_FAILURE, generations
from device_sdk.transports.https.log import Entry
from device_sdk.transports.https.origin import Origin
from device_sdk.transports.https.proxy import choose_proxy
from device_sdk.transports.https.timed import Deadline, PacedDeadline
from device_sdk.transports.https.tls import client_ssl_context, insist_on_close_notify

_TARGET = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_inherited: list[object] = []
_OURS = {"host", "content-length", "transfer-encoding", "accept-encoding", "connection"}


class OriginTransport(Transport):
    """Requests to one origin over one kept connection; the context decides about trust.

    Args:
        origin: the server.
        context: a context whose sockets are TimedTlsSockets.
        timeouts: limits of every exchange.
        proxy: a proxy's URL, "" for none, None for what the environment says.
    """

    def __init__(
        self,
        origin: Origin,
        context: ssl.SSLContext,
        timeouts: Timeouts,
        *,
        proxy: str | None = None,
    ) -> None:
        insist_on_close_notify(context)
        self._origin, self._context, self._timeouts = origin, context, timeouts
        self._proxy = choose_proxy(origin, proxy, os.environ)
        self._connection: DeviceConnection | None = None
        self._may_have_sent = False
        self._traffic = (0, 0)
        self._owner = os.getpid()
        self._lock = ForkLock()

    @property
    def origin(self) -> str:
        """The origin, "https://host:port", port omitted when it is 443."""
        return str(self._origin)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Carry one request; see Transport.send. Threads wait for each other.

        A connection that dies before a byte of the response came is made again for a GET: once if it was new, once if it
        had been idle. A POST is not sent again: nobody knows what became of it (RFC 9110 section 9.2.2). A connection
        that died while it was idle is noticed before the body is built, and replaced for either.

        Raises:
            LocalProtocolError: a request that is not proper HTTP.
            TransportError, VerificationError, ClockError, RemoteProtocolError: see their classes.
            DeviceSdkError: raised by the client key or by the body builder.
        """
        _check(request)
        url = self.origin + without_query(request.target)
        deadline = _deadline(request, self._timeouts.total_s)
        with self._lock:
            self._may_have_sent = False
            try:
                return self._send(request, url, deadline)
            except DeviceSdkError as exc:
                self._drop()
                raise self._qualified(exc.at(url))  # noqa: B904  # the same error
            except FOREIGN as exc:
                error = self._translated(exc, url)
                self._drop()
                raise self._qualified(error) from exc
            except BaseException:
                self._drop()
                raise

    def close(self) -> None:
        """Close the connection; a later send opens a new one."""
        with self._lock:
            if self._owner != os.getpid():
                self._leave_to_parent()
            self._drop()

    def _send(self, request: HttpRequest, url: str, deadline: Deadline) -> HttpResponse:
        if self._owner != os.getpid():
            self._leave_to_parent()
        idle = self._connection is not None and self._connection.is_usable()
        if idle:
            try:
                return self._attempt(request, url, deadline, new=False)
            except FOREIGN as exc:
                if request.method != "GET" or not self._is_unanswered(exc):
                    raise
        try:
            return self._attempt(request, url, deadline, new=True)
        except FOREIGN as exc:
            if idle or request.method != "GET" or not self._is_unanswered(exc):
                raise
        return self._attempt(request, url, deadline, new=True)

    def _attempt(self, request: HttpRequest, url: str, deadline: Deadline, *, new: bool) -> HttpResponse:
        """One exchange, on a new connection or the one that is there, and its line in the log."""
        entry = Entry(request, self.origin)
        outcome, status = "interrupted", None
        try:
            if new:
                self._open(deadline)
            response = self._exchange(request, url, deadline, entry)
            outcome, status = "answered", response.status_code
            return response
        except DeviceSdkError as exc:
            outcome = exc.code
            raise
        except FOREIGN as exc:
            outcome = self._translated(exc, url).code
            raise
        finally:
            sent, received = self._traffic
            entry.write(outcome, status=status, sent_bytes=sent, received_bytes=received)

    def _translated(self, exc: BaseException, url: str) -> DeviceSdkError:
        # A connection is there only once its server is authorized: see _open.
        unanswered, authorized = self._is_unanswered(exc), self._connection is not None
        error = translate(exc, self._whom(url), self._timeouts, unanswered=unanswered, authorized=authorized)
        if self._proxy and getattr(error, "url", None) is not None:
            vars(error)["url"] = url
            if isinstance(error, TransportError):
                error.proxy = str(self._proxy)
        return error

    def _qualified(self, error: DeviceSdkError) -> DeviceSdkError:
        if isinstance(error, TransportError) and not self._may_have_sent:
            error.request_sent = False
        return error

    def _is_unanswered(self, exc: BaseException) -> bool:
        connection = self._connection
        return connection is not None and is_lost_connection(exc) and not connection.received_bytes

    def _open(self, deadline: Deadline) -> None:
        self._drop()
        self._traffic = (0, 0)
        connection = DeviceConnection(
            self._origin,
            self._context,
            self._timeouts,
            proxy=self._proxy,
        )
        try:
            connection.open(deadline)
        except ssl.SSLCertVerificationError as exc:
            clock = clock_error(exc, self._origin, self._timeouts, self._proxy)
            if clock is not None:
                raise clock from exc
            raise
        except ssl.SSLError as exc:
            if ended_without_close_notify(exc):
                raise TlsError(
                    "the connection ended in the middle of the TLS handshake",
                    hint="does that port speak TLS? If it does, look into the server's log",
                ) from exc
            raise
        self._connection = connection

    def _exchange(self, request: HttpRequest, url: str, deadline: Deadline, entry: Entry) -> HttpResponse:
        connection = self._connection
        if connection is None:  # not reached: _attempt opens one
            raise LocalProtocolError("no connection")
        self._may_have_sent, self._traffic = True, (0, 0)
        connection.start(deadline)
        facts = connection.facts()
        entry.connected(connection.number, facts, reused=connection.exchanges > 0)
        body = _built(request.body, facts) if callable(request.body) else request.body
        try:
            status, fields, content = connection.exchange(
                request.method,
                request.target,
                self._headers(request, body),
                body,
                request.limit_bytes,
                into=request.into,
            )
        finally:
            self._traffic = connection.sent_bytes, connection.received_bytes
        if connection.sock is None:
            self._drop()
        return HttpResponse(status_code=status, headers=fields, body=content, url=url, connection=facts)

    def _headers(self, request: HttpRequest, body: bytes | None) -> Iterator[tuple[str, str]]:
        yield "Host", self._origin.authority
        if not any(name.lower() == "user-agent" for name, _ in request.headers):
            yield "User-Agent", f"device-sdk/{__version__}"
        yield "Accept-Encoding", "identity"
        yield from request.headers
        if body is not None:
            yield "Content-Length", str(len(body))

    def _whom(self, url: str) -> str:
        return f"{url} (through the proxy {self._proxy})" if self._proxy else url

    def _leave_to_parent(self) -> None:
        """After a fork the connection is the parent's: not a byte, not even a close_notify, may be sent over it.

        It is not freed either, as another thread may have been in the middle of using it.
        """
        if self._connection is not None:
            if self._connection.sock is not None:
                os.close(self._connection.sock.detach())
            _inherited.append(self._connection)
        self._connection, self._owner = None, os.getpid()

    def _drop(self) -> None:
        if self._connection is not None:
            if self._connection.sock is not None:
                self._connection.tls.say_goodbye()
            self._connection.close()
            self._connection = None


class HttpsTransport(OriginTransport):
    """HTTPS to a server that is trusted and authorized, with or without a client certificate.

    Args:
        url: any https URL of the server; only scheme, host and port count.
        trust: the trust anchors.
        identity: what to show of ourselves; the key may live in a token or TPM.
        timeouts: limits of every exchange.
        proxy: an http:// proxy's URL, "" for none, None for HTTPS_PROXY and NO_PROXY of the environment.
        max_tls_version: "1.2" for peers that need tls-unique; None for the newest.

    Raises:
        ConfigurationError: see Origin.parse, client_ssl_context and choose_proxy.
        TlsKeyUnavailableError: this Python's OpenSSL cannot be given the key.
    """

    def __init__(
        self,
        url: str,
        trust: ServerTrust,
        *,
        identity: TlsIdentity | None = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008  # frozen
        proxy: str | None = None,
        max_tls_version: str | None = None,
    ) -> None:
        origin = Origin.parse(url)
        self._context_for = partial(client_ssl_context, identity=identity, max_tls_version=max_tls_version)
        self._generations = generations(trust)
        super().__init__(origin, self._context_for(trust), timeouts, proxy=proxy)

    def _open(self, deadline: Deadline) -> None:
        try:
            super()._open(deadline)
        except ssl.SSLCertVerificationError as exc:
            if exc.verify_code != SIGNATURE_FAILURE or not self._open_for_a_generation(deadline):
                raise

    def _open_for_a_generation(self, deadline: Deadline) -> bool:
        """Connect with one anchor a name; the context that works is kept."""
        before = self._context
        for trust in self._generations:
            self._context = self._context_for(trust)
            insist_on_close_notify(self._context)
            try:
                super()._open(deadline)
            except ssl.SSLCertVerificationError:
                continue
            return True
        self._context = before
        return False


def _deadline(request: HttpRequest, usual_s: float) -> Deadline:
    if request.total_s is None:
        return Deadline(usual_s)
    return PacedDeadline(usual_s, request.rate, request.total_s) if request.rate else Deadline(request.total_s)


def _built(builder: BodyBuilder, facts: ConnectionFacts) -> bytes:
    try:
        return builder(facts)
    except FOREIGN as exc:  # not the connection's, which would be made again
        raise TransportError(f"the body of the request could not be made: {exc}") from exc


def _check(request: HttpRequest) -> None:
    """Refuse what would not arrive as the one request it is meant to be."""
    if not _TOKEN.fullmatch(request.method) or not _TARGET.fullmatch(request.target):
        raise LocalProtocolError(f"{request.method!r} {without_query(request.target)!r} is not a request line")
    for name, value in request.headers:
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise LocalProtocolError(f"the header field {name!r} is not one line of text")
        if name.lower() in _OURS:
            raise LocalProtocolError(f"the header field {name} is the transport's own")
