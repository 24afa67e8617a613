"""A TLS server that answers with exact bytes and remembers what it was sent; raw sockets and ssl, no HTTP library."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.est.pki import Ca, pem_key, server_certificate


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    connection: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    tls_version: str
    tls_unique: bytes | None
    client_certificate: x509.Certificate | None

    @property
    def line(self) -> str:
        return f"{self.method} {self.target}"

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True)
class Reply:
    """Exact bytes, and how the connection goes on: kept, closed with close_notify, or torn."""

    data: bytes
    then: str = "keep"


Handler = Callable[[Seen], Reply]


def http(status: int, body: bytes = b"", *headers: tuple[str, str], then: str = "keep", length: bool = True) -> Reply:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{key}: {value}" for key, value in headers)]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return Reply("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body, then)


def pkcs7(body: bytes, *headers: tuple[str, str], status: int = 200, **options) -> Reply:
    return http(status, body, ("Content-Type", "application/pkcs7-mime; smime-type=certs-only"), *headers, **options)


@dataclass
class ScriptedServer:
    """Serves on 127.0.0.1 with a certificate of `ca` until closed.

    `handlers` maps a last path segment to what answers it: one handler for good, or a list used up one by one.
    """

    ca: Ca
    directory: Path
    handlers: dict[str, Handler | list[Handler]] = field(default_factory=dict)
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    client_ca: x509.Certificate | None = None
    seen: list[Seen] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        certificate, key = server_certificate(self.ca)
        pem = self.directory / f"server-{id(self)}.pem"
        pem.write_bytes(pem_key(key) + certificate.public_bytes(Encoding.PEM))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pem)
        self._context.maximum_version = self.maximum
        if self.client_ca is not None:
            self._context.verify_mode = ssl.CERT_OPTIONAL
            self._context.load_verify_locations(cadata=self.client_ca.public_bytes(Encoding.PEM).decode())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: set[socket.socket] = set()
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def lines(self) -> list[str]:
        return [seen.line for seen in self.seen]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            raw.settimeout(20)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(raw, self.connections), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket, number: int) -> None:
        try:
            connection = self._context.wrap_socket(raw, server_side=True)
        except OSError as error:
            self.failures.append(str(error))
            raw.close()
            return
        self._open.add(connection)
        try:
            with connection, contextlib.suppress(OSError, EOFError):
                while self._one(connection, number):
                    pass
        finally:
            self._open.discard(connection)

    def _one(self, connection: ssl.SSLSocket, number: int) -> bool:
        seen = self._read(connection, number)
        self.seen.append(seen)
        reply = self._reply(seen)
        connection.sendall(reply.data)
        if reply.then == "close":
            connection.unwrap()
        return reply.then == "keep"

    def _reply(self, seen: Seen) -> Reply:
        handler = self.handlers.get(seen.target.rpartition("/")[2])
        if isinstance(handler, list):
            handler = handler.pop(0) if handler else None
        return handler(seen) if handler else http(404)

    def _read(self, connection: ssl.SSLSocket, number: int) -> Seen:
        data = b""
        while b"\r\n\r\n" not in data:
            data += _some(connection)
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines))
        length = int(next((value for key, value in headers if key.lower() == "content-length"), "0"))
        while len(body) < length:
            body += _some(connection)
        method, target, _ = first.split(" ")
        peer = connection.getpeercert(binary_form=True)
        version = connection.version() or ""
        unique = connection.get_channel_binding("tls-unique") if version == "TLSv1.2" else None
        certificate = x509.load_der_x509_certificate(peer) if peer else None
        return Seen(number, method, target, headers, body, version, unique, certificate)


def _some(connection: ssl.SSLSocket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise EOFError
    return data
