"""A hop to an HTTP server that knows nothing of CALE: the edge device as a reverse proxy."""

from __future__ import annotations

import http.client
import re
import socket
from urllib.parse import SplitResult, urlsplit, urlunsplit

from device_sdk_simulators.cale import headers
from device_sdk_simulators.cale.binary_http import ABOUT_CONTENT, CREATED
from device_sdk_simulators.cale.certificates import owner_of
from device_sdk_simulators.cale.exchanges import Allowance, Exchanges, PlainSocket
from device_sdk_simulators.cale.hops import HopProtocolError, HopTimeoutError, HopUnreachableError
from device_sdk_simulators.cale.room import SMALL, take
from device_sdk_simulators.http.messages import Headers, Request, Response

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OF_HTTP = frozenset(
    [
        "host",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "date",
        "via",
        "forwarded",
        "range",
        "accept",
        "accept-encoding",
        "accept-language",
        "user-agent",
        "mime-version",
    ]
)
_OF_HTTP_BEGINNINGS = ("content-", "proxy-", "if-", "cale-")
_ABOUT_CONTENT = frozenset(name.lower() for name in ABOUT_CONTENT)
_COPIES = 5
"""Of an answer at most, while it is encrypted and written in base64: measured 4.4."""
_BODYLESS = (204, 205, 304)
_PARTIAL = 206
_MOST_INTERIM = 16


class _FinalResponse(http.client.HTTPResponse):
    """Passes over interim answers, 103 among them (RFC 9110 section 15.2); http.client does so with 100 alone."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 102 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("interim answers without an end")


class Upstream:
    """Fetches from one HTTP/1.1 server.

    The request is made anew: no field of a client goes there that is not in `headers.FORWARDED` and passed on by the
    edge device, nothing of CALE, no hop-by-hop field, one framing. An answer with both framings, or with two lengths, is refused.

    Args:
        url: "http://HOST:PORT" or "http://HOST:PORT/BASE"; ValueError for anything else.
        owner_header: field in which the upstream reads whose request it is, or "" for none; ValueError for one that HTTP
            or CALE uses otherwise.
        timeout_s: for every wait; the whole exchange may take four times as long.
        body_bytes: the largest acceptable answer.
    """

    def __init__(
        self, url: str, *, owner_header: str = "", timeout_s: float = 10.0, body_bytes: int = 1024 * 1024
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError(f"{url!r} is not http://HOST:PORT/BASE")
        if owner_header and not _TOKEN.fullmatch(owner_header):
            raise ValueError(f"--owner-header {owner_header!r} is not the name of a header field")
        if owner_header.lower() in _OF_HTTP or owner_header.lower().startswith(_OF_HTTP_BEGINNINGS):
            raise ValueError(
                f"--owner-header {owner_header}: HTTP or CALE has another use for that field; take one of its own, such as "
                "X-Remote-User"
            )
        self._url = url
        self._host, self._port = parts.hostname, parts.port or 80
        self._base = parts.path.rstrip("/")
        self._owner_header = owner_header
        self._timeout_s = timeout_s
        self._body_bytes = body_bytes
        self._exchanges = Exchanges()

    def __call__(self, request: Request) -> Response:
        """Fetch; HopError if there is no acceptable answer."""
        fields = self._fields(request)
        try:
            return self._exchange(request, fields, Allowance(self._timeout_s))
        except TimeoutError as error:
            raise HopTimeoutError(f"{self._url}: no answer in time") from error
        except (http.client.HTTPException, ValueError) as error:
            raise HopProtocolError(f"{self._url}: not an HTTP answer: {type(error).__name__}") from error
        except OSError as error:
            raise HopUnreachableError(f"{self._url}: {error.strerror or error}") from error

    def close(self) -> None:
        """End exchanges that are under way; there are no others after it."""
        self._exchanges.close()

    def _exchange(self, request: Request, fields: Headers, allowance: Allowance) -> Response:
        connection = http.client.HTTPConnection(self._host, self._port)
        connection.response_class = _FinalResponse
        with socket.create_connection((self._host, self._port), allowance.wait()) as made:
            sock = PlainSocket(made.family, made.type, made.proto, made.detach())
        with sock, self._exchanges.under_way(sock, allowance):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock = sock
            connection.putrequest(request.method, self._base + request.target, skip_accept_encoding=True)
            for name, value in fields:
                connection.putheader(name, value)
            if request.method not in ("GET", "HEAD"):
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body or None)
            with connection.getresponse() as response:
                allowance.answer_began()
                if response.status == _PARTIAL and request.method == "GET":
                    raise HopProtocolError(f"{self._url}: the answer is a part, and nobody asked for one")
                return self._read(response, allowance)

    def _fields(self, request: Request) -> Headers:
        fields = headers.forwarded(request, ("Content-Type",) if request.body else ())
        if self._owner_header:
            owner = headers.identity_header(owner_of(headers.certificate_of(request)).name)[1]
            fields = [field for field in fields if field[0].lower() != self._owner_header.lower()]
            fields.append((self._owner_header, owner))
        # the answer is encrypted and padded as it is, and the next one has a connection of its own
        return [*fields, ("Accept-Encoding", "identity"), ("Connection", "close")]

    def _read(self, response: http.client.HTTPResponse, allowance: Allowance) -> Response:
        lengths = response.headers.get_all("Content-Length") or []
        codings = response.headers.get_all("Transfer-Encoding") or []
        if response.headers.defects or len(set(lengths)) > 1 or (lengths and codings) or len(codings) > 1:
            raise HopProtocolError(f"{self._url}: the answer can be read in two ways")
        if not all(re.fullmatch(r"[0-9]{1,18}", one) for one in lengths):
            raise HopProtocolError(f"{self._url}: Content-Length is not a number")
        if codings and codings[0].strip().lower() != "chunked":
            raise HopProtocolError(f"{self._url}: unknown Transfer-Encoding")
        if response.status in _BODYLESS:
            return Response(response.status)
        if 300 <= response.status < 400:
            return Response(response.status, self._location(response))
        body = _bounded(response, self._body_bytes, allowance)
        encodings = response.headers.get_all("Content-Encoding") or []
        if any(one.strip().lower() != "identity" for one in encodings):
            raise HopProtocolError(f"{self._url}: the answer is compressed, and nobody asked for that")
        fields = [(name, value) for name, value in response.headers.items() if name.lower() in _ABOUT_CONTENT]
        if "Content-Type" not in response.headers:
            fields.append(("Content-Type", "application/octet-stream"))
        return Response(
            response.status, fields + (self._location(response) if response.status == CREATED else []), body
        )

    def _location(self, response: http.client.HTTPResponse) -> Headers:
        """Where a redirect leads, by the paths that clients know if it stays at this server."""
        values = response.headers.get_all("Location") or []
        if len(values) > 1:
            raise HopProtocolError(f"{self._url}: the answer leads to two places")
        if not values or not values[0]:
            return []
        parts = urlsplit(values[0])
        inside = f"{parts.path}/".startswith(f"{self._base}/")
        here = self._is_here(parts) if parts.scheme or parts.netloc else bool(self._base)
        if not here or (self._base and not inside):
            return [("Location", values[0])]
        path = parts.path.removeprefix(self._base)
        if path[:1] == "/" and path[1:2] in ("/", "\\"):
            # without the part before it, it would be the name of another server
            raise HopProtocolError(f"{self._url}: the answer leads to a path that begins with two slashes")
        return [("Location", urlunsplit(("", "", path or "/", parts.query, parts.fragment)))]

    def _is_here(self, parts: SplitResult) -> bool:
        here = (self._host.lower(), self._port)
        return parts.scheme == "http" and "@" not in parts.netloc and (parts.hostname, parts.port or 80) == here


def _bounded(response: http.client.HTTPResponse, most: int, allowance: Allowance) -> bytes:
    """The body as it streams in, as long as it is not too large; HopError, TimeoutError."""
    body, expected = bytearray(), response.length or 0
    if expected > most:
        raise HopProtocolError(f"the answer has more than {most} bytes")
    take(expected, _COPIES, allowance.end)
    while piece := response.read(SMALL):
        if len(body) + len(piece) > max(expected, SMALL) >= len(body):
            # nobody said how long it is: as long as it may be
            take(most, _COPIES, allowance.end)
        body += piece
        if len(body) > most:
            raise HopProtocolError(f"the answer has more than {most} bytes")
    if response.length:
        raise HopProtocolError(f"the answer ended {response.length} bytes early")
    return bytes(body)
