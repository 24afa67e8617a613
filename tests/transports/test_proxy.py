"""Proxies for https: CONNECT, then our own TLS to the server."""

import time
from types import SimpleNamespace

import pytest

from device_sdk.errors import (
    ConfigurationError,
    ProxyRefusedError,
    ServerNotAuthorizedError,
    TransportError,
    TransportTimeoutError,
)
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https import ProvisionalTransport, timed
from device_sdk.transports.https.origin import Origin
from device_sdk.transports.https.proxy import choose_proxy
from tests.transports.conftest import QUICK, get
from tests.transports.proxies import ConnectProxy
from tests.transports.servers import Server

ORIGIN = Origin("est.example", 8443)


@pytest.fixture
def proxy():
    with ConnectProxy() as running:
        yield running


def test_explicit_proxy_with_a_hardware_key(proxy, ca, serve, connect, identity):
    server = serve(client_ca=ca)
    transport = connect(server, identity=identity, proxy=proxy.url)
    for _ in range(3):
        assert transport.send(get()).body == b"hello"
    assert [request.split()[:2] for request in proxy.requests] == [["CONNECT", f"127.0.0.1:{server.port}"]]
    assert server.connections[0].certificate


def test_proxy_of_the_environment(proxy, serve, connect, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    server = serve()
    connect(server).send(get())
    connect(server, proxy="").send(get())
    assert len(proxy.requests) == 1
    monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.0/8")
    connect(server).send(get())
    assert len(proxy.requests) == 1


def test_ipv6_server_behind_a_proxy(proxy, serve, connect):
    server = serve(host="::1")
    assert connect(server, proxy=proxy.url).send(get()).body == b"hello"
    assert f"[::1]:{server.port}" in proxy.requests[0]


def test_provisional_transport_through_a_proxy(proxy, serve):
    with ProvisionalTransport(serve().url, timeouts=QUICK, proxy=proxy.url) as transport:
        assert transport.send(get()).body == b"hello"
    assert len(proxy.requests) == 1


def test_credentials_go_to_the_proxy_and_nowhere_else(proxy, serve, connect):
    server = serve()
    transport = connect(server, proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}")
    transport.send(get())
    assert "Proxy-Authorization: Basic bWU6cEBzcw==" in proxy.requests[0]
    assert b"bWU6cEBzcw" not in server.received


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"garbage", b""],
)
def test_proxy_that_refuses(answer, serve, connect):
    server = serve()
    with ConnectProxy(answer, tunnel=False) as proxy, pytest.raises(TransportError) as caught:
        connect(server, proxy=f"http://me:p4ss@127.0.0.1:{proxy.port}").send(get())
    assert f"127.0.0.1:{proxy.port}" in str(caught.value)
    assert "p4ss" not in repr(caught.value)
    assert not server.connections


@pytest.mark.slow
def test_proxy_that_drips(serve, connect):
    with ConnectProxy(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10, tunnel=True) as proxy:
        server = serve()
        with pytest.raises(TransportTimeoutError):
            connect(server, proxy=proxy.url, timeouts=Timeouts(0.5, 5, 1)).send(get())


def test_proxy_changes_nothing_about_trust(proxy, ca, serve, connect):
    server = serve(pair=ca.issue("other.example"))
    with pytest.raises(ServerNotAuthorizedError):
        connect(server, proxy=proxy.url).send(get())
    assert not server.received


def test_proxy_that_is_not_there(serve, connect):
    with pytest.raises(TransportError, match="proxy"):
        connect(serve(), proxy="http://127.0.0.1:1").send(get())


@pytest.mark.parametrize("url", ["https://p:1", "socks5://p:1", "http://", "http://p:99999", "http://[::1"])
def test_proxies_that_are_not_supported(url):
    with pytest.raises(ConfigurationError):
        choose_proxy(ORIGIN, url, {})


@pytest.mark.parametrize(
    ("no_proxy", "used"),
    [
        ("", True),
        ("*", False),
        ("est.example", False),
        (".example", False),
        ("example", False),
        ("xample", True),
        ("EST.example:8443", False),
        ("est.example:443", True),
        ("est.example:\xb2\xb2", True),
        ("est.example:" + "9" * 5000, True),
        ("other, est.example", False),
        ("10.0.0.0/8", True),
    ],
)
def test_no_proxy(no_proxy, used):
    environment = {"HTTPS_PROXY": "proxy:3128", "NO_PROXY": no_proxy}
    proxy = choose_proxy(ORIGIN, None, environment)
    assert (proxy is not None) == used
    if proxy:
        assert (proxy.host, proxy.port) == ("proxy", 3128)


@pytest.mark.parametrize(
    ("host", "no_proxy", "used"),
    [
        ("10.1.2.3", "10.0.0.0/8", False),
        ("11.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3:8443", False),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("::1", "::1", False),
        ("::1", "[::1]", False),
        ("::1", "[::1]:8443", False),
        ("fd00::5", "fd00::/8", False),
    ],
)
def test_no_proxy_for_addresses(host, no_proxy, used):
    environment = {"https_proxy": "http://proxy", "no_proxy": no_proxy}
    assert (choose_proxy(Origin(host, 8443), None, environment) is not None) == used


@pytest.mark.parametrize("status", [401, 403, 407, 502])
def test_proxy_that_refuses_is_a_type_of_its_own(status, serve, connect):
    """407 says how to give a password; what the proxy wrote is not repeated as if the server had said it."""
    server = serve()
    answer = b"HTTP/1.1 %d <b>pay here</b>\r\nProxy-Authenticate: Basic realm=x\r\n\r\n" % status
    with ConnectProxy(answer, tunnel=False) as proxy, pytest.raises(ProxyRefusedError) as caught:
        connect(server, proxy=f"http://me:p4ss@127.0.0.1:{proxy.port}").send(get())
    error = caught.value
    assert (error.proxy, error.status_code, error.request_sent) == (f"127.0.0.1:{proxy.port}", status, False)
    assert error.url == f"{server.url}/.well-known/est/cacerts"
    assert ("HTTPS_PROXY" in error.hint) == (status == 407)
    assert "pay here" not in str(error)
    assert "p4ss" not in str(error.facts())
    assert not server.connections


@pytest.mark.slow
def test_proxy_that_never_answers(serve, connect):
    """The time to connect holds for TCP, proxy and TLS together."""
    server = serve()
    with ConnectProxy(b"", tunnel=True) as proxy:
        start = time.monotonic()
        with pytest.raises(TransportTimeoutError) as caught:
            connect(server, proxy=proxy.url, timeouts=Timeouts(0.4, 50, 50)).send(get())
    assert time.monotonic() - start < 15
    assert caught.value.timeout_s == 0.4
    assert not server.handshakes


@pytest.mark.slow
def test_what_a_slow_proxy_took_is_not_there_for_the_handshake(connect, monkeypatch):
    """A hundred seconds for CONNECT, by the transport's clock, leave half a one for a server that never shakes hands."""
    passed = []

    class Slow(ConnectProxy):
        def _serve(self, sock):
            passed.append(100)
            super()._serve(sock)

    def silent(connection):
        while connection.sock.recv(100_000):
            pass

    monkeypatch.setattr(timed, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed)))
    with Server(tls=False, script=silent) as server, Slow() as proxy:
        start = time.monotonic()
        with pytest.raises(TransportTimeoutError):
            connect(server, proxy=proxy.url, timeouts=Timeouts(100.5, 500, 500)).send(get())
        assert time.monotonic() - start < 15
    assert passed == [100]


def test_proxy_with_an_address_of_ipv6(serve, connect):
    server = serve()
    with ConnectProxy(host="::1") as proxy:
        assert connect(server, proxy=proxy.url).send(get()).body == b"hello"
    assert proxy.url.startswith("http://[::1]:")
    assert len(proxy.requests) == 1


def test_a_name_is_the_proxys_to_resolve(connect):
    """The device need not know the name: it goes into CONNECT as it is."""
    with ConnectProxy(b"HTTP/1.1 502 no such host\r\n\r\n", tunnel=False) as proxy, pytest.raises(ProxyRefusedError):
        connect("https://no-such-host.invalid:8443", proxy=proxy.url).send(get())
    assert proxy.requests[0].startswith("CONNECT no-such-host.invalid:8443 ")
