"""Bootstrap: a server that nobody vouches for is asked for its CA certificates and told nothing (EST-70 to EST-74)."""

import ssl

import pytest

from device_sdk.errors import ConfigurationError, LocalProtocolError, TlsError, TransportError
from device_sdk.model.http import HttpRequest
from device_sdk.transports.base import Timeouts
from device_sdk.transports.factory import open_provisional_transport, open_transport
from device_sdk.transports.https import ProvisionalTransport
from tests.transports.conftest import QUICK, get, post
from tests.transports.pki import DAY, Ca, now
from tests.transports.servers import Server, server_context


@pytest.fixture
def unknown(tmp_path):
    """A server with a wrong name, from an unknown CA, expired."""
    pair = Ca("Unknown").issue("other.example", start=now() - 3 * DAY, end=now() - DAY)
    with Server(server_context(pair, tmp_path)) as server:
        yield server


def test_cacerts_from_anybody(unknown):
    """EST-65, EST-70: whatever is wrong with its certificate."""
    with open_provisional_transport(unknown.url, timeouts=QUICK) as transport:
        assert isinstance(transport, ProvisionalTransport)
        assert transport.origin == unknown.url
        for target in ("/.well-known/est/cacerts", "/.well-known/est/label/cacerts", "/CACerts"):
            response = transport.send(get(target))
            assert response.body == b"hello"
            assert not response.connection.client_authenticated
    assert len(unknown.connections) == 1


@pytest.mark.parametrize(
    "request_",
    [
        get("/.well-known/est/csrattrs"),
        get("/"),
        get("/cacerts/x"),
        get("/cacerts?x=1"),
        get("/.well-known/est/simpleenroll?/x"),
        post(b"", target="/.well-known/est/cacerts"),
        HttpRequest("GET", "/.well-known/est/cacerts", body=b"csr"),
        HttpRequest("HEAD", "/.well-known/est/cacerts"),
        get(headers=(("Authorization", "Basic eA=="),)),
        get(headers=(("authorization", "Basic eA=="),)),
        get(headers=(("Cookie", "a=b"),)),
    ],
)
def test_everything_else_is_refused_before_connecting(request_, unknown):
    """EST-70, EST-72, EST-73: no credential, no other exchange; refused here, not by the server."""
    with ProvisionalTransport(unknown.url, timeouts=QUICK) as transport, pytest.raises(LocalProtocolError):
        transport.send(request_)
    assert not unknown.connections


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_client_certificate(version, serve, ca):
    """EST-74: a server that asks for one gets none; one that insists gets no further."""
    context_options = {"version": version, "client_ca": ca}
    server = serve(**context_options)
    server.context.verify_mode = ssl.CERT_OPTIONAL
    with ProvisionalTransport(server.url, timeouts=QUICK) as transport:
        transport.send(get())
    assert server.connections[0].certificate is None
    server = serve(**context_options)
    # With TLS 1.3 the server's alert may get lost behind the end of the connection.
    error = TlsError if version == ssl.TLSVersion.TLSv1_2 else TransportError
    with (
        ProvisionalTransport(server.url, timeouts=QUICK) as transport,
        pytest.raises(error, match="client certificate"),
    ):
        transport.send(get())
    assert not server.received


def test_url_rules_hold_here_too():
    with pytest.raises(ConfigurationError):
        open_provisional_transport("http://127.0.0.1")


def test_factory_opens_what_it_should(trust, serve):
    server = serve()
    with open_transport(server.url, trust, timeouts=QUICK, proxy="", max_tls_version="1.2") as transport:
        assert transport.send(get()).connection.tls_version == "TLSv1.2"
    transport = open_transport("https://127.0.0.1:1", trust, timeouts=Timeouts(1, 1, 1))
    with transport, pytest.raises(TransportError):
        transport.send(get())
