"""Trust anchors named in the ClientHello: EST-58, RFC 7030 section 4.1.3."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
import threading

import pytest

from device_sdk.errors import ServerNotTrustedError
from device_sdk.model.http import HttpRequest
from device_sdk.model.trust import ServerTrust
from device_sdk.transports.https.tls import client_ssl_context
from tests.transports.pki import Ca
from tests.transports.servers import OK, server_context

TRUSTED_CA_KEYS, CERTIFICATE_AUTHORITIES = 3, 47


def client_hello(context: ssl.SSLContext) -> dict[int, bytes]:
    """The extensions a context sends, as they are on the wire."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()[5 + 4 + 2 + 32 :]
    hello = hello[1 + hello[0] :]
    hello = hello[2 + int.from_bytes(hello[:2], "big") :]
    hello = hello[1 + hello[0] :]
    rest, found = hello[2 : 2 + int.from_bytes(hello[:2], "big")], {}
    while rest:
        length = int.from_bytes(rest[2:4], "big")
        found[int.from_bytes(rest[:2], "big")], rest = rest[4 : 4 + length], rest[4 + length :]
    return found


@pytest.fixture(scope="module")
def cas() -> tuple[Ca, Ca]:
    return Ca("First Root"), Ca("Second Root")


@pytest.mark.parametrize("version", ["1.2", None])
def test_est_58_trusted_ca_keys_hold_the_hash_of_every_anchor(cas, version):
    """RFC 6066 section 6: identifier type cert_sha1_hash(3)."""
    trust = ServerTrust(tuple(ca.certificate for ca in cas), announce=True)
    sent = client_hello(client_ssl_context(trust, max_tls_version=version))[TRUSTED_CA_KEYS]
    hashes = [hashlib.sha1(ca.der()).digest() for ca in cas]  # noqa: S324  # the RFC's
    assert sent == (42).to_bytes(2, "big") + b"".join(b"\x03" + one for one in hashes)


def test_est_58_certificate_authorities_hold_the_name_of_every_anchor(cas):
    """RFC 8446 section 4.2.4, which took the place of trusted_ca_keys."""
    trust = ServerTrust(tuple(ca.certificate for ca in cas), announce=True)
    sent = client_hello(client_ssl_context(trust))[CERTIFICATE_AUTHORITIES]
    names = [ca.certificate.subject.public_bytes() for ca in cas]
    listed = b"".join(len(name).to_bytes(2, "big") + name for name in names)
    assert sent == len(listed).to_bytes(2, "big") + listed


def test_nothing_is_named_unasked(cas):
    sent = client_hello(client_ssl_context(ServerTrust((cas[0].certificate,))))
    assert TRUSTED_CA_KEYS not in sent
    assert CERTIFICATE_AUTHORITIES not in sent


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_servers_that_know_nothing_of_it_are_not_disturbed(ca, serve, connect, version):
    server = serve(version=version)
    transport = connect(server, trust=ServerTrust((ca.certificate,), announce=True))
    for _ in range(2):
        assert transport.send(HttpRequest("GET", "/")).status_code == 200
        transport.close()
    assert [seen.reused for seen in server.connections] == [False, True]


@pytest.fixture
def chooser(cas, tmp_path):
    """A server with a certificate of each CA, which shows that of the second one to clients that name it."""
    contexts = [
        server_context(ca.issue("127.0.0.1"), tmp_path, name=ca.certificate.subject.rfc4514_string()) for ca in cas
    ]
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_one() -> None:
        raw, _ = listener.accept()
        with raw, contextlib.suppress(OSError):
            raw.settimeout(60)
            named = hashlib.sha1(cas[1].der()).digest() in raw.recv(65536, socket.MSG_PEEK)  # noqa: S324  # the RFC's
            with contexts[named].wrap_socket(raw, server_side=True) as connection:
                connection.recv(65536)
                connection.sendall(OK)

    thread = threading.Thread(target=serve_one)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    thread.join(60)
    listener.close()


@pytest.mark.parametrize("announce", [True, False])
def test_est_58_the_server_shows_the_certificate_whose_anchor_was_named(cas, chooser, connect, announce):
    """What the extension is for: without it the same server is not trusted."""
    transport = connect(chooser, trust=ServerTrust((cas[1].certificate,), announce=announce))
    if announce:
        assert transport.send(HttpRequest("GET", "/")).body == b"hello"
        return
    with pytest.raises(ServerNotTrustedError):
        transport.send(HttpRequest("GET", "/"))
