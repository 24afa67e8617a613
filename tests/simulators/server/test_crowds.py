"""Clients that are slow on purpose, and too many of them: the server goes on for everybody else (EST-16)."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack, suppress

import pytest
from device_sdk_simulators.ca.tls import TlsProfile, tls_settings
from device_sdk_simulators.http.listener import Listener
from device_sdk_simulators.http.messages import Response
from device_sdk_simulators.http.parser import Limits

from tests.simulators.server.support import client_context
from tests.simulators.server.test_http import read_all, status_of

pytestmark = pytest.mark.slow

REQUEST = b"GET /.well-known/est/cacerts HTTP/1.1\r\nConnection: close\r\n\r\n"


@pytest.fixture
def listen(server):
    """A listener with limits of its own before the same server, or before another handler."""
    with ExitStack() as running:

        def start(handler=None, **limits) -> Listener:
            settings = tls_settings(server.hierarchy, TlsProfile(), ())
            listener = Listener(handler or server.handle, settings, server.clock, limits=Limits(**limits))
            running.callback(listener.stop)
            listener.start()
            return listener

        yield start


def dial(listener, timeout=20) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), timeout=timeout)


def ask(server, listener) -> int:
    with client_context(server).wrap_socket(dial(listener), server_hostname="localhost") as sock:
        sock.sendall(REQUEST)
        return status_of(read_all(sock))


def seconds_until_closed(sock, data: bytes, pause: float, at_most: float = 30) -> float:
    """Send bytes one by one until the other side has enough."""
    started = time.monotonic()
    with suppress(OSError):
        for byte in data * 1000:
            sock.sendall(bytes([byte]))
            time.sleep(pause)
            sock.setblocking(False)
            with suppress(BlockingIOError):
                if sock.recv(4096) == b"":
                    break
            sock.setblocking(True)
            if time.monotonic() - started > at_most:
                break
    return time.monotonic() - started


# a record of 16000 bytes, of a handshake message that never ends
ENDLESS_HANDSHAKE = b"\x16\x03\x01\x3e\x80\x01\x00\x3e\x7c\x03\x03" + b"\0" * 400


def test_the_default_bounds():
    limits = Limits()
    assert (limits.connections, limits.handshake_s, limits.idle_s, limits.request_s) == (256, 10, 30, 20)


@pytest.mark.slow
def test_a_handshake_that_drips_is_cut_off(listen):
    """EST-16."""
    listener = listen(handshake_s=0.5)
    with dial(listener) as sock:
        assert 0.4 < seconds_until_closed(sock, ENDLESS_HANDSHAKE, 0.1) < 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [b"GET /" + b"a" * 300, b"GET / HTTP/1.1\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n" + b"A: b\r\n" * 50,
     b"POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + b"x" * 300],
    ids=["request line", "headers", "body"],
)  # fmt: skip
def test_a_request_that_drips_is_cut_off(server, listen, data):
    """EST-16."""
    listener = listen(request_s=0.5)
    raw = dial(listener)
    with raw, client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
        started = time.monotonic()
        sock.sendall(data[:-250])
        with suppress(OSError):
            for byte in data[-250:]:
                sock.sendall(bytes([byte]))
                time.sleep(0.05)
        assert time.monotonic() - started < 10


@pytest.mark.slow
@pytest.mark.parametrize("pause", [None, 0.05])
def test_a_client_that_does_not_read_is_cut_off(server, listen, pause):
    listener = listen(lambda _request: Response(200, body=b"x" * 20_000_000), answer_s=1.0, connections=1)
    raw = dial(listener)
    with raw, client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(REQUEST)
        started = time.monotonic()
        if pause:
            # progress, but too little
            while time.monotonic() - started < 2 and sock.recv(1000):
                time.sleep(pause)
        # there is one place only: this one waits until it is free
        with client_context(server).wrap_socket(dial(listener), server_hostname="localhost"):
            assert time.monotonic() - started < 18


@pytest.mark.slow
def test_clients_that_leave_too_much_unread_give_way(server, listen):
    """What is sent is in our memory until it is taken; whoever takes nothing of it is no reason to refuse others."""
    large = 8_000_000

    def serve(request):
        return Response(200, body=b"x" * (large if request.path == "/large" else 10))

    listener = listen(serve, unsent_bytes=3 * large, stalled_s=0.3)
    with ExitStack() as crowd:
        for _ in range(10):
            raw = crowd.enter_context(socket.socket())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.settimeout(20)
            raw.connect(("127.0.0.1", listener.port))
            sock = crowd.enter_context(client_context(server).wrap_socket(raw, server_hostname="localhost"))
            sock.sendall(b"GET /large HTTP/1.1\r\n\r\n")
        end = time.monotonic() + 30
        while (held := sum(one.unsent for one in list(listener._open))) > 3 * large or listener.connections < 10:
            assert time.monotonic() < end, held
            time.sleep(0.05)
        assert held > 0, "no more than it takes"
        assert ask(server, listener) == 200


@pytest.mark.slow
def test_a_client_that_pauses_gets_all_of_its_answer(server, listen):
    listener = listen(lambda _request: Response(200, body=b"x" * 8_000_000), stalled_s=0.1)
    raw = dial(listener)
    with raw, client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(REQUEST)
        time.sleep(1)
        assert read_all(sock).count(b"x") >= 8_000_000


@pytest.mark.slow
def test_silent_clients_give_way_when_others_wait(server, listen):
    """EST-16."""
    listener = listen(connections=8, crowded_s=0.3, handshake_s=60)
    before = threading.active_count()
    with ExitStack() as silent:
        for _ in range(20):
            silent.enter_context(dial(listener))
        started = time.monotonic()
        assert [ask(server, listener) for _ in range(3)] == [200] * 3
        assert time.monotonic() - started < 30
        # the threads of those that were sent away end a little later
        end = time.monotonic() + 60
        while (more := threading.active_count() - before) > 8 and time.monotonic() < end:
            time.sleep(0.05)
        assert more <= 8


@pytest.mark.slow
def test_clients_that_are_being_answered_do_not_give_way(server, listen):
    entered, go_on = threading.Semaphore(0), threading.Event()

    def slow(_request):
        entered.release()
        go_on.wait(60)
        return Response(204)

    listener = listen(slow, connections=3, crowded_s=0.1)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(server, listener))) for _ in range(4)]
    # whoever is slow with the handshake while others wait would have to go
    for thread in threads[:3]:
        thread.start()
    assert all(entered.acquire(timeout=60) for _ in range(3))
    threads[3].start()
    time.sleep(0.4)
    go_on.set()
    for thread in threads:
        thread.join()
    assert answers == [204] * 4


@pytest.mark.slow
def test_a_crowd_does_not_hold_up_the_end(server, listen):
    before = set(threading.enumerate())
    listener = listen(connections=4, crowded_s=60)
    with ExitStack() as crowd:
        for _ in range(10):
            crowd.enter_context(dial(listener))
        time.sleep(0.3)
        started = time.monotonic()
        listener.stop()
        assert time.monotonic() - started < 9
    assert set(threading.enumerate()) <= before


def test_where_no_thread_can_be_had_the_next_client_is_served(server, listen, monkeypatch):
    listener = listen()
    start = threading.Thread.start

    def refuse(thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with dial(listener) as sock:
        assert sock.recv(1) == b""
    assert ask(server, listener) == 200
