"""A small HTTPS server of its own that answers exactly what a test tells it to, byte by byte."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Answer: TypeAlias = bytes | Callable[["Received"], bytes]

# As printed in appendix B.1.3 and B.2.7; the second line of the second Content-Type has no white space before it there,
# which is not HTTP, so it has some here.
DRAFT_HEADERS = (
    b"Content-Type: text/plain;charset=UTF-8\r\n"
    b"MIME-Version: 1.0\r\n"
    b'Content-Disposition: attachment; filename="smime.p7m"\r\n'
    b"Content-Type: application/x-pkcs7-mime;\r\n"
    b' smime-type=enveloped-data; name="smime.p7m"\r\n'
    b"Content-Transfer-Encoding: base64\r\n"
)
PLAIN_HEADERS = b'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"\r\n'


def answer(body: bytes, headers: bytes = DRAFT_HEADERS, status: bytes = b"200 OK") -> bytes:
    """A whole response."""
    return b"HTTP/1.1 " + status + b"\r\n" + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def envelope_answer(message: bytes, headers: bytes = DRAFT_HEADERS, status: bytes = b"200 OK") -> bytes:
    """A whole response with a message in base64."""
    return answer(base64.encodebytes(message), headers, status)


def redirect(location: str, status: bytes = b"302 Found") -> bytes:
    """A redirect."""
    return answer(b"", b"Location: " + location.encode() + b"\r\n", status)


class Received:
    """One request as it came."""

    def __init__(self, head: bytes, body: bytes = b"") -> None:
        self.body = body
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ", 2)
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


class ScriptedServer:
    """Answers by target; 404 for everything else. Keeps what it received in `received`."""

    def __init__(self, directory: Path, answers: dict[str, Answer] | None = None, *, tls: bool = True) -> None:
        self.answers: dict[str, Answer] = answers or {}
        self.received: list[Received] = []
        self._context = _server_context(directory) if tls else None
        self.ca_file = directory / "server.pem"
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        self._open.add(connection)
        try:
            if self._context is not None:
                plain, connection = connection, self._context.wrap_socket(connection, server_side=True)
                self._open.add(connection)
                self._open.discard(plain)
            while head := _read_head(connection):
                request = Received(head)
                request.body = _read_body(connection, int(request.headers.get("content-length", "0")))
                self.received.append(request)
                found = self.answers.get(request.target, answer(b"not here", b"", b"404 Not Found"))
                response = found(request) if callable(found) else found
                connection.sendall(response)
                if b"\r\nConnection: close\r\n" in response:
                    break
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            connection.close()


def _read_head(connection: socket.socket) -> bytes:
    """One request head without the empty line; nothing at the end."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            return b""
        data += piece
    return data[:-4]


def _read_body(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def _server_context(directory: Path) -> ssl.SSLContext:
    """A self-signed certificate for localhost, made once a directory."""
    file = directory / "server.pem"
    key_file = directory / "server.key"
    if not file.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return context
