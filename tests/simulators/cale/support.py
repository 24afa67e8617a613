"""A CALE client made of Python's own parts and the openssl command, and a relay that remembers every byte."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from device_sdk_simulators.cale.binary_http import BINARY_HTTP

from device_sdk.wire.csr_capabilities import capabilities_extension
from tests.simulators.cale.authenticated import opened_by_parts

KEYS = {"rsa": rsa.generate_private_key(65537, 2048), "p256": ec.generate_private_key(ec.SECP256R1())}
STRANGER = "00000000-1111-4222-8333-444444444444"
OUR_HEADERS = ("cale-correlation", "cale-pem", "cale-identity", "cipher", "cale-guid", "client-cert", "cale-lengths")


def csr_pem(key, common_name: str = "whatever", *, whole: bool = False) -> bytes:
    """A certification request; `whole`: that says what the key reads, whole responses among it."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if whole:
        said = capabilities_extension(key.public_key(), contents=(BINARY_HTTP,))
        builder = builder.add_extension(said.value, critical=False)
    csr = builder.sign(key, hashes.SHA256())
    return csr.public_bytes(Encoding.PEM)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def opened(key, message: bytes, directory: Path) -> bytes | None:
    """What `openssl cms` reads in a message with a key; None if it reads nothing."""
    (directory / "opened.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (directory / "opened.der").write_bytes(base64.b64decode(message))
    words = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", "opened.der", "-inkey", "opened.key"]
    done = subprocess.run(words, cwd=directory, capture_output=True, timeout=30, check=False)
    if b"Field=mac, Type=CMS_AuthEnvelopedData" in done.stderr:
        return opened_by_parts(base64.b64decode(message), key)
    return done.stdout if done.returncode == 0 else None


class Client:
    """One client of an edge device, with a key of its own."""

    def __init__(
        self, url: str, ca_file: Path | str, directory: Path, key=KEYS["rsa"], certificate=None, source: str = ""
    ) -> None:
        self.key = key
        self.directory = directory
        self.guid = ""
        parts = urlsplit(url)
        self.context = ssl.create_default_context(cafile=str(ca_file))
        if certificate is not None:
            self.context.load_cert_chain(*certificate)
        self.connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, context=self.context, timeout=30, source_address=(source, 0) if source else None
        )

    def send(self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""):
        """Status, header fields in lower case and body of an answer; the same field may be sent twice."""
        self.connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            self.connection.putheader(name, value)
        if body:
            self.connection.putheader("Content-Length", str(len(body)))
        self.connection.endheaders(body or None)
        answer = self.connection.getresponse()
        fields = [(name.lower(), value) for name, value in answer.getheaders()]
        assert not {name for name, _ in fields} & set(OUR_HEADERS), "inner fields are for the inside"
        return answer.status, fields, answer.read()

    def register(self, headers: dict[str, str], *, whole: bool = False) -> int:
        """Register the key; the status. The GUID is read with openssl."""
        fields = [("Content-Type", "application/pkcs10"), *headers.items()]
        status, _fields, body = self.send("POST", "/registration", fields, csr_pem(self.key, whole=whole))
        if status == 200:
            self.guid = (opened(self.key, body, self.directory) or b"").decode().strip()
        return status

    def get(self, path: str, *extra: tuple[str, str], guid: str | None = None):
        """Status, header fields and body as they came."""
        return self.send("GET", path, [("CALE-GUID", self.guid if guid is None else guid), *extra])

    def read(self, path: str, *extra: tuple[str, str], guid: str | None = None) -> bytes | None:
        """The decrypted answer; None if it is not for us."""
        status, _fields, body = self.get(path, *extra, guid=guid)
        assert status == 200, body
        return opened(self.key, body, self.directory)

    def close(self) -> None:
        self.connection.close()


class Relay:
    """Stands between two servers and remembers what goes by, in both directions."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.seen = bytearray()
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self._lock:
                    self.seen += data
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """End every connection and take no more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.end()


@contextmanager
def web_server(handler: type[BaseHTTPRequestHandler], *, quiet: bool = False) -> Iterator[str]:
    """An HTTP server of this process; its URL. With `quiet` it says nothing of clients that leave."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if quiet:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
