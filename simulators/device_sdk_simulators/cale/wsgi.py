"""The roles as parts for WSGI servers (PEP 3333): EdgeApp, AuthorizationApp, OriginationMiddleware, ResourceMiddleware.

What TLS established is read from the variables that mod_ssl introduced and that clients cannot set: SSL_PROTOCOL, SSL_CIPHER,
SSL_CLIENT_VERIFY and SSL_CLIENT_CERT. They have to come from the server that ended TLS, over nothing others can write to.
"""

from __future__ import annotations

import contextvars
import io
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from cryptography import x509

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.authorization import AuthorizationServer
from device_sdk_simulators.cale.certificates import NotAcceptedError, Owner, accept_certificate, owner_of
from device_sdk_simulators.cale.edge import EdgeDevice
from device_sdk_simulators.cale.exchanges import end_of_work
from device_sdk_simulators.cale.hops import HopProtocolError
from device_sdk_simulators.cale.origination import OriginationServer
from device_sdk_simulators.cale.peers import Peers
from device_sdk_simulators.cale.replay import ReplayWindow
from device_sdk_simulators.cale.room import take
from device_sdk_simulators.http.messages import REASONS, HttpError, Request, Response, TlsFacts
from device_sdk_simulators.policy import Policy

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PeerOf: TypeAlias = "Callable[[WSGIEnvironment], str | None]"
"""Says which listed peer sent a request; None for strangers."""

OWNER = "cale.owner"
"""Name in the environment of what a request is for: an `Owner`, with name, organization and scopes."""

_COPIES = 4
"""Of an answer at most, beside what the application gave."""
_MOST_IN, _MOST_OUT = 64 * 1024, 16 * 1024 * 1024
_INSIDE = ("HTTP_CALE_", "HTTP_CIPHER", "HTTP_CLIENT_CERT")


def listed(peers: Iterable[str]) -> PeerOf:
    """Peers by name or fingerprint, for servers that require client certificates and verify them."""
    known = Peers(peers)

    def peer_of(environ: WSGIEnvironment) -> str | None:
        chain = tls_facts(environ).client_chain
        return known.name_of(chain[0] if chain else None)

    return peer_of


class EdgeApp:
    """An edge device as a WSGI application."""

    def __init__(self, edge: EdgeDevice) -> None:
        self._edge = edge

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one client."""
        return _respond(environ, start_response, self._edge.handle)


class AuthorizationApp:
    """An authorization server as a WSGI application.

    Args:
        server: the role, with the store of its records.
        peer_of: who calls.
    """

    def __init__(self, server: AuthorizationServer, peer_of: PeerOf) -> None:
        self._server = server
        self._peer_of = peer_of

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one edge device."""
        peer = self._peer_of(environ) or ""
        return _respond(environ, start_response, lambda request: self._server.handle(request, peer))


class OriginationMiddleware:
    """Makes an origination server of any WSGI application: checks CALE-PEM, asks the application, encrypts its answer.

    The application finds the owner in `environ["cale.owner"]` and the owner's name in REMOTE_USER, and needs to know nothing
    else of CALE. Its answer is collected up to 16 MiB; whatever its status is, nobody but the owner learns it.

    Args:
        app: the application.
        issuer: certificate of the authorization server's CA.
        policy: forms of the answers, scopes, replay.
        clock: judges certificates.
        peer_of: who calls.
        replay: what was shown already.
    """

    def __init__(
        self,
        app: WSGIApplication,
        issuer: x509.Certificate,
        policy: Policy,
        clock: Callable[[], datetime],
        peer_of: PeerOf,
        replay: ReplayWindow | None = None,
    ) -> None:
        self._peer_of = peer_of
        self._app = app
        self._environ: contextvars.ContextVar[WSGIEnvironment] = contextvars.ContextVar("environ")
        # the peer is known when the role is asked: its list has one entry, and it is us
        self._role = OriginationServer(issuer, self._ask, policy, clock, ("listed",), replay, paths={})

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one edge device."""
        peer = "listed" if self._peer_of(environ) is not None else ""
        token = self._environ.set(environ)
        try:
            return _respond(environ, start_response, lambda request: self._role.handle(request, peer))
        finally:
            self._environ.reset(token)

    def _ask(self, request: Request) -> Response:
        environ = _for_owner(self._environ.get(), owner_of(headers.certificate_of(request)))
        environ |= {"REQUEST_METHOD": request.method, "CONTENT_LENGTH": str(len(request.body))}
        environ["wsgi.input"] = io.BytesIO(request.body)
        try:
            return _collected(self._app, environ)
        except HopProtocolError:
            raise
        except Exception:  # noqa: BLE001 - as a WSGI server would; the client gets it encrypted
            traceback.print_exc(file=environ["wsgi.errors"])
            return Response(500, facts={"reason": "the application failed"})


class ResourceMiddleware:
    """Makes a resource server of any WSGI application: checks CALE-PEM, and passes the request on.

    Args:
        app: the application, which finds the owner in `environ["cale.owner"]`.
        issuer: certificate of the authorization server's CA.
        policy: how certificates are judged.
        clock: judges certificates.
        peer_of: who calls.
    """

    def __init__(
        self,
        app: WSGIApplication,
        issuer: x509.Certificate,
        policy: Policy,
        clock: Callable[[], datetime],
        peer_of: PeerOf,
    ) -> None:
        self._app = app
        self._issuer = issuer
        self._policy = policy
        self._clock = clock
        self._peer_of = peer_of

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one origination server."""
        if self._peer_of(environ) is None or "HTTP_CIPHER" in environ:
            return _respond(environ, start_response, lambda request: Response(403))
        rules = self._policy.cale
        try:
            certificate = headers.certificate_of(Request("GET", "/", _fields(environ)))
            owner = accept_certificate(
                certificate, self._issuer, self._clock(), skew=rules.clock_skew, max_lifetime=rules.max_lifetime
            )
        except (ValueError, NotAcceptedError):
            return _respond(environ, start_response, lambda request: Response(403))
        return self._app(_for_owner(environ, owner), start_response)


def tls_facts(environ: WSGIEnvironment) -> TlsFacts:
    """What TLS established, as the server says."""
    chain: tuple[x509.Certificate, ...] = ()
    if environ.get("SSL_CLIENT_VERIFY") == "SUCCESS" and environ.get("SSL_CLIENT_CERT"):
        try:
            chain = (x509.load_pem_x509_certificate(str(environ["SSL_CLIENT_CERT"]).encode()),)
        except ValueError:
            chain = ()
    return TlsFacts(str(environ.get("SSL_PROTOCOL", "")), str(environ.get("SSL_CIPHER", "")), chain)


def request_from(environ: WSGIEnvironment) -> Request:
    """The request, complete with its body; HttpError for one without length or too long."""
    path = quote(
        (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1"), safe="/:@!$&'()*+,;=~"
    )
    query = environ.get("QUERY_STRING", "")
    request = Request(
        str(environ["REQUEST_METHOD"]),
        (path or "/") + (f"?{query}" if query else ""),
        _fields(environ),
        tls=tls_facts(environ),
        source=str(environ.get("REMOTE_ADDR", "")),
    )
    request.body = _body(environ)
    return request


def _body(environ: WSGIEnvironment) -> bytes:
    text = str(environ.get("CONTENT_LENGTH") or "0")
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise HttpError(411, "a request with a body needs Content-Length")
    if not text.isascii() or not text.isdigit():
        raise HttpError(400, "Content-Length is not a number")
    if len(text) > 9 or int(text) > _MOST_IN:
        raise HttpError(413, f"the body may have {_MOST_IN} bytes")
    body: bytes = environ["wsgi.input"].read(int(text)) if int(text) else b""
    if len(body) != int(text):
        raise HttpError(400, "the body ended early")
    return body


def _fields(environ: WSGIEnvironment) -> list[tuple[str, str]]:
    # WSGI servers join the values of fields that are there twice; what is then no GUID and no certificate is refused
    fields = [
        (name.removeprefix("HTTP_").replace("_", "-").title(), str(value))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    return [*fields, *([("Content-Type", str(environ["CONTENT_TYPE"]))] if environ.get("CONTENT_TYPE") else [])]


def _respond(
    environ: WSGIEnvironment, start_response: StartResponse, handle: Callable[[Request], Response]
) -> Iterable[bytes]:
    try:
        response = handle(request_from(environ))
    except HttpError as error:
        response = Response.text(error.status, error.text, error.headers)
    # PEP 3333 knows no folds
    fields = [(name, value.replace("\r\n", "")) for name, value in response.headers]
    if response.status != 204:
        if response.header("Content-Type") is None:
            fields.append(("Content-Type", "text/plain; charset=utf-8"))
        fields.append(("Content-Length", str(len(response.body))))
    start_response(f"{response.status} {REASONS.get(response.status, 'Status')}", fields)
    return [response.body] if response.body and environ["REQUEST_METHOD"] != "HEAD" else []


def _for_owner(environ: WSGIEnvironment, owner: Owner) -> WSGIEnvironment:
    """The environment for an application: without CALE, with the owner."""
    inner = {name: value for name, value in environ.items() if not name.startswith(_INSIDE)}
    return inner | {OWNER: owner, "REMOTE_USER": owner.name, "AUTH_TYPE": "CALE"}


def _collected(app: WSGIApplication, environ: WSGIEnvironment) -> Response:
    """An application's whole answer; HopProtocolError if it gives none, or too much."""
    said: list[tuple[str, list[tuple[str, str]]]] = []
    body = bytearray()

    def start(status: str, fields: list[tuple[str, str]], _error: Any = None, /) -> Callable[[bytes], object]:
        said.append((status, fields))
        return body.extend

    with _closing(app(environ, start)) as pieces:
        for piece in pieces:
            body += piece
            if len(body) > _MOST_OUT:
                raise HopProtocolError(f"the application's answer has more than {_MOST_OUT} bytes")
    if not said or not re.match(r"[0-9]{3}", said[-1][0]):
        raise HopProtocolError("the application gave no status")
    # how many answers are collected at one time is the affair of the WSGI server, how many are encrypted is ours
    take(len(body), _COPIES, end_of_work())
    return Response(int(said[-1][0][:3]), list(said[-1][1]), bytes(body))


@contextmanager
def _closing(pieces: Iterable[bytes]) -> Iterator[Iterable[bytes]]:
    """PEP 3333: `close`, if there is one, is called however the answer ends."""
    try:
        yield pieces
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
