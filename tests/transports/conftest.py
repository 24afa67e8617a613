"""One CA and one server certificate for all tests of this folder."""

import pytest

from device_sdk.model.http import HttpRequest
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.transports.base import Timeouts
from device_sdk.transports.https import HttpsTransport
from tests.transports.pki import CLIENT, Ca
from tests.transports.servers import Server, keep_answering, server_context
from tests.transports.soft_keys import soft_key

QUICK = Timeouts(connect_s=5, read_s=5, total_s=20)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def ca():
    return Ca()


@pytest.fixture(scope="session")
def good(ca):
    """A certificate for the loopback addresses and localhost."""
    return ca.issue("127.0.0.1", "::1", "localhost")


@pytest.fixture
def trust(ca):
    return ServerTrust(explicit=(ca.certificate,))


@pytest.fixture
def identity(ca):
    key = soft_key()
    return TlsIdentity((ca.issue(usages=CLIENT, key=key, subject="device").certificate,), key)


@pytest.fixture
def serve(good, tmp_path):
    """Start a server with the good certificate: serve(script, version=..., client_ca=..., pair=...)."""
    running = []

    def start(script=keep_answering, *, pair=None, host="127.0.0.1", **options):
        server = Server(server_context(pair or good, tmp_path, **options), script, host=host)
        running.append(server)
        return server.__enter__()

    yield start
    for server in running:
        server.__exit__()


@pytest.fixture
def connect(trust):
    """Open a transport that is closed at the end: connect(server, trust=..., identity=...)."""
    opened = []

    def start(server, trust=trust, **options):
        options = {"timeouts": QUICK} | options
        opened.append(HttpsTransport(getattr(server, "url", server), trust, **options))
        return opened[-1]

    yield start
    for transport in opened:
        transport.close()


def get(target="/.well-known/est/cacerts", **options):
    return HttpRequest("GET", target, **options)


def post(body=b"x", target="/.well-known/est/simpleenroll", **options):
    return HttpRequest("POST", target, body=body, **options)
