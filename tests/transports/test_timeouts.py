"""Connect, read and total limits, also against servers that drip (EST-16)."""

import contextlib
import socket
import threading
import time

import pytest

from device_sdk.errors import ServerNotAuthorizedError, TransportError, TransportTimeoutError
from device_sdk.transports.base import Timeouts
from tests.transports.conftest import get, post
from tests.transports.proxies import ConnectProxy
from tests.transports.servers import OK, Server

TOTAL = Timeouts(connect_s=5, read_s=5, total_s=1)


def dripping(data, pause=0.05):
    """Each byte by itself, then the last one for ever."""

    def script(connection):
        connection.request()
        for byte in data:
            connection.send(bytes([byte]))
            time.sleep(pause)
        while True:
            connection.send(data[-1:])
            time.sleep(pause)

    return script


class Dripping(ConnectProxy):
    """Stands before a server and passes its bytes on one by one."""

    def __init__(self, server):
        super().__init__()
        self.url, self._server = f"https://127.0.0.1:{self.port}", server

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            upstream = socket.create_connection(("127.0.0.1", self._server.port))
            self._sockets.append(upstream)
            self._start(self._pump, sock, upstream)
            while byte := upstream.recv(1):
                sock.sendall(byte)
                time.sleep(0.01)


def timed(transport, request):
    start = time.monotonic()
    with pytest.raises(TransportTimeoutError) as caught:
        transport.send(request)
    return caught.value, time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: xxxxxxxxxxxxxxxx",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1",
        b"HTTP/1.1 404 No\r\n\r\n",
    ],
    ids=["head", "body", "chunk size", "error text"],
)
def test_dripping_server(data, serve, connect):
    server = serve(dripping(data, pause=0.01))
    error, took = timed(connect(server, timeouts=TOTAL), get())
    assert error.timeout_s == 1
    assert error.url.startswith(server.url)
    assert 0.9 < took < 30


@pytest.mark.slow
def test_silent_server(serve, connect):
    server = serve(lambda connection: (connection.request(), connection.request()))
    error, took = timed(connect(server, timeouts=Timeouts(50, 0.4, 50)), get())
    assert error.timeout_s == 0.4
    assert took < 30


@pytest.mark.slow
def test_server_without_handshake(connect):
    def script(connection):
        while connection.sock.recv(100_000):
            pass

    with Server(tls=False, script=script) as server:
        error, took = timed(connect(server, timeouts=Timeouts(0.4, 50, 50)), get())
    assert error.timeout_s == 0.4
    assert took < 15


def test_server_that_drips_its_handshake(connect):
    """Bytes of a TLS record header, for ever."""

    def script(connection):
        while True:
            connection.send(b"\x16")
            time.sleep(0.05)

    with Server(tls=False, script=script) as server, pytest.raises(TransportError):
        connect(server, timeouts=Timeouts(0.5, 5, 1)).send(get())


@pytest.mark.slow
def test_time_to_connect_holds_for_the_whole_handshake(serve, connect):
    """EST-16: a server that sends its part of the handshake byte by byte, each in time (slow loris)."""

    def script(connection):
        connection.request()

    with Dripping(serve(script)) as slow:
        error, took = timed(connect(slow.url, timeouts=Timeouts(0.5, 50, 50)), get())
    assert error.timeout_s == 0.5
    assert error.request_sent is False
    assert took < 15


@pytest.mark.slow
def test_server_that_drips_answers_before_the_answer(serve, connect):
    """Interim responses without end are cut off by the total, and by the size of a head."""

    def script(connection):
        connection.request()
        while True:
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.05)

    error, took = timed(connect(serve(script), timeouts=TOTAL), get())
    assert error.timeout_s == 1
    assert took < 30


@pytest.mark.slow
def test_server_that_does_not_accept(connect):
    """A full backlog: the connection never comes about."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        error, took = timed(connect(url, timeouts=Timeouts(0.4, 50, 50)), get())
        for sock in waiting:
            sock.close()
    assert error.timeout_s == 0.4
    assert took < 15


@pytest.mark.slow
def test_server_that_does_not_read(serve, connect):
    """Writing is limited too."""
    done = threading.Event()
    server = serve(lambda connection: done.wait(50))
    try:
        _, took = timed(connect(server, timeouts=Timeouts(20, 0.4, 50)), post(bytes(30_000_000)))
    finally:
        done.set()
    assert took < 30


@pytest.mark.slow
def test_slow_key_does_not_eat_the_servers_time(serve, connect):
    """read_s limits the server, not the signature that the body needs."""

    def slow(facts):
        time.sleep(1.3)
        return b"x"

    assert connect(serve(), timeouts=Timeouts(20, 1.2, 20)).send(post(slow)).body == b"hello"


@pytest.mark.slow
def test_time_is_counted_anew_for_each_request(serve, connect):
    transport = connect(serve(), timeouts=TOTAL)
    for _ in range(3):
        assert transport.send(get()).body == b"hello"
        time.sleep(0.5)


def test_refused(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TransportError, match=f"https://127.0.0.1:{port}.*refused"):
        connect(f"https://127.0.0.1:{port}").send(get())


def test_name_that_does_not_resolve(connect):
    with pytest.raises(TransportError, match="cannot be resolved"):
        connect("https://no-such-host.invalid").send(get())


@pytest.mark.slow
def test_wrong_name_is_told_before_any_timeout(ca, serve, connect):
    server = serve(lambda connection: time.sleep(1), pair=ca.issue("other.example"))
    with pytest.raises(ServerNotAuthorizedError):
        connect(server).send(get())


def test_answer_in_time(serve, connect):
    def script(connection):
        connection.request()
        time.sleep(0.3)
        connection.send(OK)

    assert connect(serve(script), timeouts=Timeouts(connect_s=20, read_s=20, total_s=20)).send(get()).body == b"hello"


class _Sink:
    def __init__(self):
        self.size = 0

    def start(self, length, /):
        self.size = 0

    def write(self, data, /):
        self.size += len(data)


PACED = Timeouts(connect_s=5, read_s=5, total_s=1.2)


@pytest.mark.slow
def test_a_large_answer_may_take_longer_while_it_gets_on(serve, connect):
    """Nor does one that drips: what comes has to earn the time beyond that of any exchange."""

    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")
        for _ in range(10):
            time.sleep(0.15)
            connection.send(bytes(2000))
        connection.request()

    sink = _Sink()
    connect(serve(script), timeouts=PACED).send(get(into=sink, total_s=60.0, rate=500.0))
    assert sink.size == 20000
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"
    error, took = timed(connect(serve(dripping(data)), timeouts=PACED), get(into=sink, total_s=60.0, rate=500.0))
    assert (error.timeout_s, took < 60) == (1.2, True)
    error, took = timed(connect(serve(dripping(data)), timeouts=PACED), get(into=sink, total_s=1.0, rate=1.0))
    assert took < 60
