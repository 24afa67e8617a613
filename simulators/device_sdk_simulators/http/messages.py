"""A request as the handlers get it, with the TLS connection it came over, and the answer they give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

from cryptography import x509

Headers: TypeAlias = list[tuple[str, str]]

REASONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
}


class HttpError(Exception):
    """A request that is answered with an error status and a sentence of plain text; 401 gets its challenges on the way out."""

    def __init__(self, status: int, text: str, headers: Headers | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers or []


@dataclass(frozen=True)
class TlsFacts:
    """What the handshake of a connection established.

    Attributes:
        version: "TLSv1.2" or "TLSv1.3".
        cipher: the suite's OpenSSL name.
        client_chain: the client's certificates, leaf first; empty if it showed none.
        tls_unique: RFC 5929 section 3.1, TLS 1.2 only.
        tls_exporter: the 32 bytes of RFC 9266.
        client_finished: the first Finished message of the handshake: the client's, in a resumed one the server's.
        resumed: whether the handshake resumed an earlier session.
        srp_user: user name of a client that knew the password, where TLS has no certificates (RFC 5054).
    """

    version: str = ""
    cipher: str = ""
    client_chain: tuple[x509.Certificate, ...] = ()
    tls_unique: bytes | None = None
    tls_exporter: bytes | None = None
    client_finished: bytes | None = None
    resumed: bool = False
    srp_user: str | None = None


@dataclass
class Request:
    """One request, complete with its body.

    Attributes:
        method: as sent.
        target: origin form, as sent.
        headers: in order, duplicates kept.
        body: after transfer decoding.
        tls: the connection it came over.
        connection: number of that connection, counted from 1.
        version: "HTTP/1.1" or "HTTP/1.0".
        answer_headers: for the answer, whatever it will be.
        source: network address of the client, without the port.
        error: set if the client sent something that is not a request; the handler only has to refuse and log it.
    """

    method: str
    target: str
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    tls: TlsFacts = field(default_factory=TlsFacts)
    connection: int = 0
    version: str = "HTTP/1.1"
    answer_headers: Headers = field(default_factory=list)
    source: str = ""
    error: HttpError | None = None

    @property
    def path(self) -> str:
        """The target's path, percent-decoded."""
        return unquote(self.target.split("?", 1)[0])

    def header(self, name: str) -> str | None:
        """The first value of a header, case-insensitively; None if absent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def header_values(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Response:
    """One answer.

    Attributes:
        status: the three digits.
        headers: in the order they are sent; Content-Length and Date are added when it is written.
        body: the content.
        file: holds the content instead, if that is large; only its path is kept.
        close: end the connection after it.
        facts: what the audit log says about it (never sent).
        wire: faults to commit while sending it (see `wire_faults`), by name.
        sent: called when all of the content but its last octet is on its way: nobody has the whole before; or None.
    """

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    close: bool = False
    facts: dict[str, object] = field(default_factory=dict)
    wire: dict[str, str] = field(default_factory=dict)
    file: Path | None = None
    sent: Callable[[], None] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return len(self.body) if self.file is None else self.file.stat().st_size

    def header(self, name: str) -> str | None:
        """The first value of a header, case-insensitively; None if absent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @classmethod
    def text(cls, status: int, text: str, headers: Headers | None = None) -> Response:
        """An error or a notice for people (RFC 8951 section 5.1: text/plain)."""
        body = (text + "\n").encode()
        return cls(
            status, [("Content-Type", "text/plain; charset=utf-8"), *(headers or [])], body, facts={"reason": text}
        )


Handler: TypeAlias = Callable[[Request], Response]
