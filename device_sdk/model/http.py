"""One request and its answer, as the protocols see them; carried by a transport."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

MAX_RESPONSE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class ConnectionFacts:
    """What is known about the TLS connection that is about to carry a request.

    Attributes:
        tls_version: "TLSv1.2" or "TLSv1.3".
        cipher: the suite's OpenSSL name.
        tls_unique: first Finished message of the current handshake, TLS 1.2 only (RFC 5929 section 3.1).
        tls_exporter: 32 bytes of EXPORTER-Channel-Binding (RFC 9266), or None where the TLS library does not give it.
        client_authenticated: the handshake of this very connection used the client certificate: the server asked for it,
            and its key signed. Not so for a resumed session.
        tls_finished: first Finished message of the handshake on TLS 1.3, where no standard uses it (EST-98); the
            client's, in a resumed handshake the server's.
        server_certificate: DER of the certificate with which the server authenticated; None without one (SRP).
    """

    tls_version: str
    cipher: str
    tls_unique: bytes | None = None
    tls_exporter: bytes | None = None
    client_authenticated: bool = False
    tls_finished: bytes | None = None
    server_certificate: bytes | None = field(default=None, repr=False)


BodyBuilder: TypeAlias = Callable[[ConnectionFacts], bytes]
"""Makes the body after the handshake on the connection that carries it; called again after 401, 202 and reconnects."""


class BodySink(Protocol):
    """Takes the body of a successful answer (200) piece by piece, where that is too large for memory."""

    def start(self, length: int | None, /) -> None:
        """A body begins, of so many bytes if that is known; one that began before was broken off, and does not count."""

    def write(self, data: bytes, /) -> object:
        """The next piece."""


@dataclass(frozen=True)
class HttpRequest:
    """One request.

    Attributes:
        method: "GET" or "POST".
        target: origin-form target, already percent-encoded ("/.well-known/est/cacerts").
        headers: in the order they are sent; names in Title-Case; may hold a password, so they are in no repr.
        body: the bytes, or what makes them after the handshake (EST-96).
        limit_bytes: the largest acceptable response body.
        operation: what the log calls this; the target's last segment if empty.
        attempt: counted from 1, for the log.
        into: takes the body of a 200; that of the response is empty then.
        total_s: seconds for the whole exchange, where those of the transport are too few.
        rate: with `total_s`: bytes a second; the exchange ends where it would with those of the transport, put off by one
            second for every so many bytes that come. None lets an answer that drips have all of `total_s`.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | BodyBuilder | None = field(default=None, repr=False)
    limit_bytes: int = MAX_RESPONSE_BYTES
    operation: str = ""
    attempt: int = 1
    into: BodySink | None = field(default=None, repr=False)
    total_s: float | None = None
    rate: float | None = None


@dataclass(frozen=True)
class HttpResponse:
    """One response, complete: the body is never longer than the request's limit.

    Attributes:
        status_code: the three digits.
        headers: as received, duplicates kept, in order.
        body: content after transfer decoding.
        url: absolute URL that answered, without its query: what is in there is for no error and no log.
        connection: the TLS connection it came over.
        redirected_from: the URL that was asked first, if redirects led to `url`.
    """

    status_code: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    url: str
    connection: ConnectionFacts
    redirected_from: str | None = None

    @property
    def shown_url(self) -> str:
        """For messages: the URL that answered, and where the request came from if it was sent on."""
        return f"{self.url} (redirected from {self.redirected_from})" if self.redirected_from else self.url

    def header(self, name: str) -> str | None:
        """The first value of a header, case-insensitively; None if absent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def header_values(self, name: str) -> tuple[str, ...]:
        """All values of a header, in order."""
        return tuple(value for key, value in self.headers if key.lower() == name.lower())
