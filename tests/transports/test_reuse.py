"""One connection for a whole conversation, made again when it must be; and sessions resumed (EST-12, EST-57, EST-96)."""

import contextlib
import datetime as dt
import socket
import ssl
import struct
import threading
import time

import pytest

from device_sdk.errors import (
    DeviceSdkError,
    ServerNotTrustedError,
    TransportError,
    TransportTimeoutError,
    TruncatedResponseError,
)
from device_sdk.transports.base import Timeouts
from tests.transports.conftest import get, post
from tests.transports.pki import now
from tests.transports.servers import OK, Server, answering, keep_answering, server_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


def reset(connection):
    """End the connection with a TCP reset."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def hang_up(connection):
    """End the TCP connection without a close_notify."""


class Builder:
    """A body that says on which connection it was built."""

    def __init__(self):
        self.facts = []

    def __call__(self, facts):
        self.facts.append(facts)
        return facts.tls_exporter.hex().encode()


@pytest.mark.parametrize("version", VERSIONS)
def test_one_connection_for_a_conversation(version, serve, connect):
    """EST-12."""
    server = serve(version=version)
    transport = connect(server)
    build = Builder()
    for request in (get(), get("/.well-known/est/csrattrs"), post(build), post(build), get()):
        assert transport.send(request).body == b"hello"
    assert len(server.connections) == 1
    assert build.facts[0] == build.facts[1]


def test_server_that_closes_after_each_answer(serve, connect):
    server = serve(answering(CLOSING))
    transport = connect(server)
    build = Builder()
    for _ in range(3):
        assert transport.send(post(build)).body == b"hello"
    assert len(server.connections) == 3
    bodies = [request.body for request in server.requests]
    assert bodies == [facts.tls_exporter.hex().encode() for facts in build.facts]
    assert len(set(bodies)) == 3


@pytest.mark.parametrize("ending", [None, hang_up, reset], ids=["close_notify", "fin", "reset"])
def test_idle_connection_that_died_is_noticed_before_the_body_is_built(ending, serve, connect):
    read = threading.Event()

    def end(connection):
        assert read.wait(60)  # a reset would throw away what has not been read
        if ending:
            ending(connection)
        else:
            connection.close_notify()

    server = serve([answering(OK, then=end), answering(OK)])
    transport = connect(server)
    transport.send(get())
    read.set()
    server._threads[1].join(60)
    build = Builder()
    assert transport.send(post(build)).body == b"hello"
    assert len(build.facts) == 1
    assert len(server.connections) == 2


@pytest.mark.parametrize("ending", [hang_up, reset], ids=["fin", "reset"])
def test_idle_connection_that_dies_with_the_next_request(ending, serve, connect):
    """RFC 9110 section 9.2.2: a GET is sent again; of a POST nobody knows what became of it."""

    def first(connection):
        connection.request()
        connection.send(OK)
        connection.request()
        ending(connection)

    server = serve([first, answering(OK)])
    transport = connect(server)
    transport.send(get())
    assert transport.send(get()).body == b"hello"
    assert len(server.connections) == 2

    server = serve([first, answering(OK)])
    transport = connect(server)
    transport.send(get())
    build = Builder()
    with pytest.raises(TransportError, match="without an answer") as caught:
        transport.send(post(build))
    assert caught.value.request_sent is None
    assert len(server.connections) == len(build.facts) == 1
    assert transport.send(post(build)).body == b"hello"


@pytest.mark.parametrize("ending", [hang_up, reset, lambda c: c.close_notify()], ids=["fin", "reset", "close_notify"])
def test_new_connection_that_dies_takes_a_post_with_it(ending, serve, connect):
    """Nobody knows what became of the request: not sent again."""

    def script(connection):
        connection.request()
        ending(connection)

    server = serve(script)
    with pytest.raises(TransportError, match=server.url):
        connect(server).send(post())
    assert len(server.requests) == 1


def test_new_connection_that_dies_lets_a_get_try_once_more(serve, connect):
    def dies(connection):
        connection.request()

    server = serve([dies, answering(OK)])
    assert connect(server).send(get()).body == b"hello"
    server = serve(dies)
    with pytest.raises(TransportError):
        connect(server).send(get())
    assert len(server.requests) == 2


def test_idle_connection_is_replaced_once_only(serve, connect):
    def first(connection):
        connection.request()
        connection.send(OK)
        connection.request()

    server = serve([first, lambda connection: connection.request()])
    transport = connect(server)
    transport.send(get())
    with pytest.raises(TransportError):
        transport.send(get())
    assert len(server.requests) == 3


def test_no_second_try_after_the_first_byte(serve, connect):
    server = serve(answering(b"H", then=hang_up))
    with pytest.raises(TruncatedResponseError):
        connect(server).send(get())
    assert len(server.requests) == 1


@pytest.mark.slow
def test_no_second_try_after_a_timeout(serve, connect):
    server = serve(lambda connection: (connection.request(), connection.request()))
    with pytest.raises(TransportTimeoutError):
        connect(server, timeouts=Timeouts(5, 0.3, 5)).send(get())
    assert len(server.requests) == 1


def test_builder_that_fails_costs_the_connection_only(serve, connect):
    server = serve()
    transport = connect(server)

    def fail(facts):
        raise ConnectionResetError("of the TPM, not of the server")

    with pytest.raises(TransportError, match="could not be made"):
        transport.send(post(fail))
    error = DeviceSdkError("no")

    def refuse(facts):
        raise error

    with pytest.raises(DeviceSdkError) as caught:
        transport.send(post(refuse))
    assert caught.value is error
    assert not server.received
    assert transport.send(get()).body == b"hello"


def test_close_and_send_again(serve, connect):
    server = serve()
    with connect(server) as transport:
        transport.send(get())
        transport.close()
        transport.close()
        assert transport.send(get()).body == b"hello"
    assert len(server.connections) == 2


def test_connection_ends_with_a_close_notify(serve, connect):
    """So that the server can tell the end from a cut."""
    ends = []

    def script(connection):
        connection.sock.suppress_ragged_eofs = False
        keep_answering(connection)
        ends.append(True)

    server = serve(script)
    server.context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with connect(server) as transport:
        transport.send(get())
    server._threads[1].join(60)
    assert ends


@pytest.mark.parametrize("version", VERSIONS)
def test_resumption_spares_the_key(version, ca, serve, connect, identity):
    """10 connections, 1 signature (EST-57); the binding of a resumed connection is the one the server has (EST-93)."""
    server = serve(answering(CLOSING), version=version, client_ca=ca)
    transport = connect(server, identity=identity)
    facts = [transport.send(get()).connection for _ in range(10)]
    assert identity.key.signatures == 1
    assert [seen.reused for seen in server.connections] == [False] + [True] * 9
    if version == ssl.TLSVersion.TLSv1_2:
        assert [f.tls_unique for f in facts] == [seen.tls_unique for seen in server.connections]
    assert len({f.tls_exporter for f in facts}) == 10
    assert [f.client_authenticated for f in facts] == [True] + [False] * 9


def test_no_resumption_without_extended_master_secret(serve, connect):
    """EST-57, RFC 7627: without it a resumed session proves nothing about its first handshake; nor is there an exporter."""
    server = serve(answering(CLOSING), version=ssl.TLSVersion.TLSv1_2)
    server.context.options |= 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET
    transport = connect(server)
    for _ in range(2):
        facts = transport.send(get()).connection
        assert facts.tls_exporter is None
        assert facts.tls_unique
    assert not any(seen.reused for seen in server.connections)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_est_52_est_57_a_session_does_not_outlive_the_certificate(version, ca, serve, connect):
    """A resumed handshake verifies nothing, so the certificate of its first one is looked at again; no request is sent."""
    for life_s in (2, 8, 32):  # a busy machine may take longer for the first connection
        end = now() + dt.timedelta(seconds=life_s)
        server = serve(answering(CLOSING), version=version, pair=ca.issue("127.0.0.1", end=end))
        transport = connect(server)
        with contextlib.suppress(ServerNotTrustedError):
            transport.send(get())
            break
    assert len(server.requests) == 1
    while dt.datetime.now(dt.UTC) <= end:
        time.sleep(0.1)
    with pytest.raises(ServerNotTrustedError, match="expired"):
        transport.send(get())
    assert len(server.requests) == 1


def test_session_of_one_host_is_none_of_another(ca, good, trust, tmp_path):
    """EST-57, EST-61: a session that somebody else's connection left is not enough to be authorized."""
    from device_sdk.errors import ServerNotAuthorizedError
    from device_sdk.transports.https import client_ssl_context

    context = client_ssl_context(trust)

    def talk(host, session=None):
        plain = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(plain, server_hostname=host, session=session) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert sock.recv(1000)
            return sock.session, sock.session_reused

    with Server(server_context(good, tmp_path)) as server:
        session, reused = talk("localhost")
        assert not reused
        session, reused = talk("localhost", session)
        assert reused
        with pytest.raises(ServerNotAuthorizedError):
            talk("other.example", session)
