"""Exchanges behind a role end, whatever is sent to it there, and nothing is done twice."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress

import pytest
from device_sdk_simulators.cale.exchanges import TlsSocket, ending
from device_sdk_simulators.cale.hops import HopError, HopProtocolError, HopTimeoutError, HopUnreachableError
from device_sdk_simulators.cale.pki import KeyFiles
from device_sdk_simulators.cale.remote import HopSettings, RemoteHop
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.cale.upstream import Upstream
from device_sdk_simulators.http.messages import Request
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import basic

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
TCP_CLOSED = b"\x07"
"""The first octet of TCP_INFO (linux/tcp.h, TCP_CLOSE)."""


class Endless:
    """Answers with a beginning, and then with the same bytes again and again; with TLS if it has files for that."""

    def __init__(self, start: bytes, again: bytes, files: KeyFiles | None = None, pause_s: float = 0.02) -> None:
        self._start, self._again, self._pause_s = start, again, pause_s
        self._context = None
        if files is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(files.certificate, files.key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        scheme = "http" if files is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._end = threading.Event()
        self._lock = threading.Lock()
        self.asked = self.open = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._socket.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            sock = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with sock:
                if not sock.recv(65536):
                    return
                self._count(1)
                try:
                    sock.sendall(self._start)
                    while not self._end.wait(self._pause_s):
                        sock.sendall(self._again)
                finally:
                    self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self.asked += change > 0
            self.open += change

    def wait_for(self, asked: int, still_open: int) -> None:
        until = time.monotonic() + 60
        while self.asked < asked or self.open != still_open:
            assert time.monotonic() < until, (self.asked, self.open)
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_details: object) -> None:
        self._end.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def hops(site):
    """A hop of either kind to a server of that kind."""
    files = {role: KeyFiles.below(site.state / role / "hop") for role in ("edge", "authz")}
    made = []

    def make(kind: str, start: bytes, again: bytes, timeout_s: float, **options):
        server = Endless(start, again, files["authz"] if kind == "role" else None, **options)
        own = files["edge"]
        if kind == "role":
            hop = RemoteHop(HopSettings(server.url, "authz", own.certificate, own.key, own.anchors, timeout_s))
        else:
            hop = Upstream(server.url, timeout_s=timeout_s)
        made.extend((server, hop))
        return server, hop

    yield make
    for server, hop in zip(made[::2], made[1::2], strict=True):
        hop.close()
        server.__exit__()


GET = Request("GET", "/validate")
KINDS = pytest.mark.parametrize("kind", ["role", "upstream"])


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize(("start", "again"), [(HEAD, b" "), (b"", INTERIM), (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n")])
def test_an_answer_that_never_ends_is_given_up(hops, kind, start, again):
    """Every wait is short, and there is no end to them."""
    _server, hop = hops(kind, start, again, 0.3)
    with pytest.raises((HopTimeoutError, HopProtocolError)):
        hop(GET)


@KINDS
def test_interim_answers_are_bounded(hops, kind):
    """RFC 9110 section 15.2: any number of them may come before an answer."""
    _server, hop = hops(kind, INTERIM * 20_000, b"", 30)
    with pytest.raises(HopProtocolError, match="not"):
        hop(GET)


@pytest.mark.slow
@KINDS
def test_what_has_an_end_of_its_own_ends_then(hops, kind):
    """As the work for a client in a slot."""
    server, hop = hops(kind, HEAD, b" ", 60)
    with ending(time.monotonic() + 0.3), pytest.raises(HopTimeoutError):
        hop(GET)
    server.wait_for(1, 0)


@KINDS
def test_an_exchange_under_way_is_ended_from_outside(hops, kind):
    server, hop = hops(kind, HEAD, b" ", 60)
    caught = []

    def ask() -> None:
        with suppress(HopError):
            hop(GET)
        caught.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for(1, 1)
    hop.close()
    thread.join(30)
    assert caught == [True]
    with pytest.raises(HopUnreachableError, match="being stopped"):
        hop(GET)
    assert server.asked == 1


@pytest.fixture
def proxy(tmp_path, make_client):
    running = []

    def make(upstream: str, **rules):
        settings = EdgeSettings(user="device", upstream=upstream)
        edge = edge_role(RolePlace(tmp_path / "edge"), Policy(cale=CaleRules(**rules)), settings).start()
        running.append(edge)
        client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
        password = (tmp_path / "edge" / "password").read_text().strip()
        assert client.register(basic("device", password)) == 200
        return edge, client

    yield make
    for edge in running:
        edge.stop()


@pytest.mark.slow
def test_one_owner_and_a_path_that_never_ends_use_up_no_threads_cale_24(proxy):
    """The work for a request ends with its slot, so that there is always a thread for the next one."""
    with Endless(HEAD, b" ") as server:
        _edge, client = proxy(server.url, slot_s=0.2)
        for _ in range(50):
            assert client.get("/drip")[0] == 200
            if server.asked >= 3:
                break
        server.wait_for(3, 0)


@pytest.mark.slow
def test_a_server_that_is_stopped_waits_for_nobody(proxy):
    """An upstream that sends and sends would be waited for as long as an exchange may take."""
    with Endless(HEAD, b" ") as server:
        edge, client = proxy(server.url)

        def ask() -> None:
            with suppress(OSError, http.client.HTTPException):
                client.get("/drip")

        asking = threading.Thread(target=ask)
        asking.start()
        server.wait_for(1, 1)
        edge.stop()
        # the thread of the connection is gone, and not only given up
        assert not edge._listener._open
        server.wait_for(1, 0)
        asking.join()


class DiesAfterTwo:
    """A resource server that does what it is asked for a second time, and then ends the connection without an answer."""

    def __init__(self, files: KeyFiles) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self.done: list[str] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._socket.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(sock,)))
                self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain, self._context.wrap_socket(plain, server_side=True) as sock:
            while request := sock.recv(65536):
                if not request.startswith((b"GET", b"HEAD")):
                    while not request.endswith(b"pay"):
                        request += sock.recv(65536)
                self.done.append(request.split()[0].decode())
                if len(self.done) == 2:
                    return
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(("method", "done"), [("GET", 3), ("HEAD", 3), ("POST", 2), ("PUT", 2), ("DELETE", 2)])
def test_only_reading_is_asked_for_twice(site, method, done):
    """RFC 9110 section 9.2.2: what changes something is not repeated, even if a kept connection ends without an answer."""
    server = DiesAfterTwo(KeyFiles.below(site.state / "resource" / "hop"))
    own = KeyFiles.below(site.state / "origin" / "hop")
    hop = RemoteHop(HopSettings(server.url, "resource", own.certificate, own.key, own.anchors, 20))
    request = Request(method, "/pay", [("Content-Type", "text/plain")], b"" if method in ("GET", "HEAD") else b"pay")
    try:
        assert hop(request).status == 200
        if done == 2:
            with pytest.raises(HopProtocolError, match="without an answer"):
                hop(request)
        else:
            assert hop(request).status == 200
        assert server.done == [method] * done
    finally:
        hop.close()
        server.close()


def test_a_peer_that_goes_before_the_handshake_leaves_nothing_open():
    """Killed with connections in its queue; what is left open would be a warning, which is an error here."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TlsSocket
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != TCP_CLOSED:
        time.sleep(0.001)
    with pytest.raises(ConnectionResetError):
        context.wrap_socket(client, server_hostname="localhost")
