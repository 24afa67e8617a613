"""requests with a hardware key: one mount, and nothing of its own trust left (HardwareTlsAdapter)."""

import contextlib
import time

import pytest
import requests

from device_sdk.errors import (
    ConfigurationError,
    LocalProtocolError,
    PinLockedError,
    ServerNotAuthorizedError,
    TransportTimeoutError,
)
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.https import HardwareTlsAdapter
from tests.transports.pki import CMC_RA, Ca
from tests.transports.proxies import ConnectProxy
from tests.transports.servers import OK, answering


@pytest.fixture
def session():
    with requests.Session() as opened:
        yield opened


def test_client_certificate_with_requests(session, ca, serve, trust, identity):
    server = serve(client_ca=ca)
    session.mount(server.url, HardwareTlsAdapter(trust, identity))
    for _ in range(3):
        assert session.get(f"{server.url}/data", timeout=30).content == b"hello"
    assert session.post(f"{server.url}/data", data=b"abc", timeout=30).content == b"hello"
    assert len(server.connections) == 1
    assert server.connections[0].certificate
    assert identity.key.signatures == 1


def test_resumption_with_requests(session, ca, serve, trust, identity):
    server = serve(answering(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")), client_ca=ca)
    session.mount(server.url, HardwareTlsAdapter(trust, identity))
    for _ in range(5):
        assert session.get(server.url, timeout=30).content == b"hello"
    assert len(server.connections) == 5
    assert identity.key.signatures == 1


def test_cmc_ra_and_wrong_name(session, ca, serve, trust):
    server = serve(pair=ca.issue("ra.example", usages=(CMC_RA,)))
    session.mount(server.url, HardwareTlsAdapter(trust))
    assert session.get(server.url, timeout=30).ok
    server = serve(pair=ca.issue("other.example"))
    session.mount(server.url, HardwareTlsAdapter(trust))
    with pytest.raises(ServerNotAuthorizedError):
        session.get(server.url, timeout=30)
    assert not server.received


def test_trust_of_requests_plays_no_part(session, ca, serve, trust, tmp_path, monkeypatch):
    """Neither REQUESTS_CA_BUNDLE, verify=PATH nor certifi add an anchor."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ca.pem())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    server = serve()
    session.mount(server.url, HardwareTlsAdapter(ServerTrust((Ca("Other").certificate,))))
    for options in ({}, {"verify": str(bundle)}, {"verify": True}):
        with pytest.raises(requests.exceptions.SSLError):
            session.get(server.url, timeout=30, **options)
    assert not server.received


def test_verification_cannot_be_switched_off(session, serve, trust):
    server = serve()
    session.mount("https://", HardwareTlsAdapter(trust))
    session.mount("http://", HardwareTlsAdapter(trust))
    with pytest.raises(ConfigurationError, match="verify=False"):
        session.get(server.url, verify=False, timeout=30)
    with pytest.raises(ConfigurationError):
        session.get(server.url, cert=("a", "b"), timeout=30)
    with pytest.raises(LocalProtocolError):
        session.get(server.url.replace("https", "http"), timeout=30)
    assert not server.received


def test_key_errors_come_through_requests(session, ca, serve, trust, identity):
    server = serve(client_ca=ca)
    session.mount(server.url, HardwareTlsAdapter(trust, identity))
    identity.key.failure = PinLockedError("the token is locked")
    with pytest.raises(PinLockedError):
        session.get(server.url, timeout=30)


def test_proxy_with_requests(session, ca, serve, trust, identity):
    server = serve(client_ca=ca)
    session.mount(server.url, HardwareTlsAdapter(trust, identity))
    with ConnectProxy() as proxy:
        response = session.get(server.url, proxies={"https": proxy.url}, timeout=30)
        assert response.content == b"hello"
        assert proxy.requests
        session.close()


ENDLESS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a head": (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "content": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"z"),
    "a chunk's name": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n", b"X: y\r\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("start", "piece"), ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("proxied", [False, True])
def test_an_answer_that_never_ends_with_requests(session, serve, trust, start, piece, proxied):
    """The timeout of requests begins anew with every byte; total_s does not."""

    def drip(connection):
        connection.request()
        connection.send(start)
        with contextlib.suppress(OSError):
            while True:
                connection.send(piece)
                time.sleep(0.02)

    server = serve(drip)
    session.mount(server.url, HardwareTlsAdapter(trust, total_s=0.7))
    with contextlib.ExitStack() as opened:
        if proxied:
            session.proxies = {"https": opened.enter_context(ConnectProxy()).url}
        with pytest.raises(TransportTimeoutError, match=r"longer than 0\.7 s"):
            session.get(server.url, timeout=30)


@pytest.mark.slow
def test_a_total_time_is_counted_anew_for_each_request(session, serve, trust):
    server = serve()
    session.mount(server.url, HardwareTlsAdapter(trust, total_s=3))
    assert session.get(server.url, timeout=None).content == b"hello"
    time.sleep(3.1)
    assert session.get(server.url, timeout=(3, 4)).content == b"hello"
    assert len(server.connections) == 1
