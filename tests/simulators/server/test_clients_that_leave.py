"""Clients that are gone before the server has looked at them, and what handshakes may and may not leave behind (EST-16)."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.http.parser import ConnectionEnded
from device_sdk_simulators.http.peer_chains import PeerChains
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.srp.service import SrpSettings

from tests.simulators.server.support import client_context, name

_NO_EXTENDED_MASTER_SECRET = 0x1
_RESET = struct.pack("ii", 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["certificates", "srp"])
def test_est_16_resets_after_connecting_end_nothing(tmp_path, which):
    """The accepted socket has no other end any more, whoever takes it up; the port goes on."""
    with ReferenceServer(tmp_path / "server", srp=SrpSettings()) as server:
        port = server.port if which == "certificates" else server.srp.port
        for _ in range(300):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            # not TLS: only somebody who accepts and reads ends it
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with suppress(ConnectionResetError):
                assert (sock.recv(4096) or b"\x15")[0] == 0x15, "an alert, or the end"


@pytest.mark.parametrize("extended", [True, False])
def test_est_100_no_exporter_without_extended_master_secret(tmp_path, extended):
    """RFC 9266 section 4.2: on TLS 1.2 the value binds nothing then, so no request can be bound to it."""
    with ReferenceServer(tmp_path / "server") as server:
        seen = []
        answer = server.est.handle
        server.est.handle = lambda request: (seen.append(request.tls), answer(request))[1]
        context = client_context(server, maximum="1.2")
        if not extended:
            context.options |= _NO_EXTENDED_MASTER_SECRET
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert b" 200 " in sock.recv(4096)
        (tls,) = seen
        assert tls.version == "TLSv1.2"
        assert (tls.tls_exporter is not None) == extended
        assert tls.tls_unique, "RFC 5929's own value is there"


def test_est_21_no_memory_for_certificates_that_lead_nowhere():
    now = datetime.now(UTC)
    ca = make_authority("CA", ec.generate_private_key(ec.SECP256R1()), now)

    def certificate() -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        return issue(ca, Wish(name(), key, x509.Extensions([]), now, now + timedelta(days=1)))

    chains, junk = PeerChains(), [certificate() for _ in range(17)]
    assert len(chains.whole(junk[0], junk[1:], resumed=False)) == 17
    with pytest.raises(ConnectionEnded):
        chains.whole(certificate(), junk, resumed=False)
