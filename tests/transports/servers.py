"""TLS servers in threads that remember everything they were sent."""

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class Request:
    line: str
    headers: list
    body: bytes

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


@dataclass
class Seen:
    """One accepted connection, as the server saw it."""

    handshake: bool = False
    error: Exception | None = None
    version: str = ""
    reused: bool = False
    certificate: bytes | None = None
    tls_unique: bytes | None = None
    received: bytearray = field(default_factory=bytearray)
    requests: list = field(default_factory=list)


class Connection:
    """The server's end; reads requests and records every byte."""

    def __init__(self, sock, seen):
        self.sock, self.seen, self._rest = sock, seen, b""

    def _more(self):
        data = self.sock.recv(65536)
        self.seen.received += data
        self._rest += data
        return bool(data)

    def request(self):
        """The next request, or None at the end."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = [tuple(field.split(": ", 1)) for field in fields]
        length = int(next((v for k, v in headers if k.lower() == "content-length"), 0))
        while len(self._rest) < length:
            if not self._more():
                return None
        body, self._rest = self._rest[:length], self._rest[length:]
        request = Request(line, headers, body)
        self.seen.requests.append(request)
        return request

    def send(self, data):
        self.sock.sendall(data)

    def close_notify(self):
        """End the TLS connection properly, without waiting for the client to do the same."""
        self.sock.settimeout(0)
        with contextlib.suppress(OSError):
            self.sock.unwrap()


def keep_answering(connection, answer=OK):
    """Answer every request the same way."""
    while connection.request() is not None:
        connection.send(answer)


def answering(*answers, then=None):
    """A script: one answer for each request in turn, then `then(connection)` or a proper end."""

    def script(connection):
        for answer in answers:
            if connection.request() is None:
                return
            connection.send(answer)
        if then is not None:
            then(connection)
        else:
            connection.close_notify()

    return script


def server_context(pair, directory, *, version=None, client_ca=None, name="server"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.write(directory, name))
    if version:
        context.minimum_version = context.maximum_version = version
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca.der())
    return context


class Server:
    """Accepts on a free port; every connection gets TLS and then the script (a new one for each if a list is given)."""

    def __init__(self, context=None, script=keep_answering, *, host="127.0.0.1", tls=True):
        self.context, self.script, self.tls = context, script, tls
        self.connections = []
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=self._family)
        self.port = self._listener.getsockname()[1]
        self.url = f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._open = set()
        self._closing = False

    def __enter__(self):
        self._threads[0].start()
        return self

    def __exit__(self, *_):
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        end = time.monotonic() + 60
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < end:
                self._hang_up()
                thread.join(0.2)
            assert not thread.is_alive()

    def _hang_up(self):
        """Again and again: one that was accepted last is known a moment later."""
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    @property
    def handshakes(self):
        return sum(seen.handshake for seen in self.connections)

    @property
    def requests(self):
        return [request for seen in self.connections for request in seen.requests]

    @property
    def received(self):
        return b"".join(bytes(seen.received) for seen in self.connections)

    def _accept(self):
        while not self._closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            seen = Seen()
            self.connections.append(seen)
            thread = threading.Thread(target=self._serve, args=(sock, seen, len(self.connections) - 1))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock, seen, number):
        sock.settimeout(20)
        self._open.add(sock)
        try:
            with sock:
                if self.tls:
                    self._open.discard(sock)
                    sock = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                    self._open.add(sock)
                    with sock:
                        sock.do_handshake()
                        seen.handshake, seen.version, seen.reused = True, sock.version(), sock.session_reused
                        seen.certificate = sock.getpeercert(binary_form=True)
                        seen.tls_unique = sock.get_channel_binding("tls-unique")
                        self._run(Connection(sock, seen), number)
                else:
                    self._run(Connection(sock, seen), number)
        except (OSError, ValueError) as exc:
            seen.error = exc
        finally:
            self._open.discard(sock)

    def _run(self, connection, number):
        script = self.script
        if isinstance(script, list):
            script = script[min(number, len(script) - 1)]
        script(connection)
