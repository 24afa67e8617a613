"""Channel bindings: other TLS libraries see the same values (RFC 5929, RFC 9266; EST-93, EST-97 to EST-99)."""

import contextlib
import re
import ssl

import pytest
from OpenSSL import SSL

from device_sdk.transports.base import Timeouts
from tests.ports import free_port
from tests.transports.conftest import get, post
from tests.transports.servers import OK, Server
from tests.transports.test_foreign_servers import running


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_unique_is_the_servers(version, serve, connect):
    """TLS 1.2: equal to what Python's server has. TLS 1.3: undefined, so there is none."""
    server = serve(version=version)
    facts = connect(server).send(get()).connection
    if version == ssl.TLSVersion.TLSv1_3:
        assert facts.tls_unique is None
    else:
        assert len(facts.tls_unique) == 12
        assert facts.tls_unique == server.connections[0].tls_unique


def test_exporter_is_what_openssl_prints(good, tmp_path, connect):
    """RFC 9266 section 2, TLS 1.3: 32 bytes of EXPORTER-Channel-Binding, as s_server exports them.

    In TLS 1.2 s_server exports without a context, which is not the same as a context of length zero.
    """
    chain, key = good.write(tmp_path, "server")
    port = free_port()
    command = [
        "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain, "-key", key, "-tls1_3",
        "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32",
    ]  # fmt: skip
    with running(command, port, tmp_path / "log") as server:

        def build(facts):
            server.process.stdin.write(OK)  # what s_server gets on its input goes to the client
            server.process.stdin.flush()
            return b"x"

        facts = connect(server).send(post(build)).connection
    printed = re.findall(rb"Keying material: ([0-9A-F]{64})", (tmp_path / "log").read_bytes())
    assert facts.tls_exporter.hex().upper().encode() in printed


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_exporter_is_what_pyopenssl_exports(version, good, connect):
    """The same for both versions, from the copy of OpenSSL that pyOpenSSL has for itself."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate(good.certificate)
    context.use_privatekey(good.key)
    exported = []

    def script(connection):
        tls = SSL.Connection(context, None)
        tls.set_accept_state()
        answered = False
        while True:
            with contextlib.suppress(SSL.WantReadError):
                tls.recv(10_000)
                exported.append(tls.export_keying_material(b"EXPORTER-Channel-Binding", 32, b""))
                tls.sendall(OK)
                answered = True
            with contextlib.suppress(SSL.WantReadError):
                connection.sock.sendall(tls.bio_read(100_000))
            if answered:
                return
            tls.bio_write(connection.sock.recv(10_000))

    with Server(tls=False, script=script) as server:
        facts = connect(server).send(get()).connection
    assert exported == [facts.tls_exporter]


def test_body_is_built_after_the_handshake_on_its_connection(serve, connect):
    """EST-96: handshake, then the body; the facts of the response are those the body was built with."""
    server = serve()
    order = []

    def build(facts):
        order.append((server.handshakes, bytes(server.received)))
        return facts.tls_exporter

    response = connect(server, timeouts=Timeouts()).send(post(build))
    assert order in ([(1, b"")], [(0, b"")])  # 0: the server's thread may be a moment behind
    assert server.requests[0].body == response.connection.tls_exporter
    assert response.connection.cipher.startswith("TLS_")
    assert not response.connection.client_authenticated
