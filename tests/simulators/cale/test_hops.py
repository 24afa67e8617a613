"""Mutual TLS between the roles (CALE-30, CALE-52, CALE-59), and what a role makes of one that does not answer."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.ca.keys import new_key, pem, write_key
from device_sdk_simulators.cale.hops import (
    HopError,
    HopProtocolError,
    HopTimeoutError,
    HopTrustError,
    HopUnreachableError,
)
from device_sdk_simulators.cale.peers import Peers, fingerprint
from device_sdk_simulators.cale.pki import KeyFiles, make_leaf
from device_sdk_simulators.cale.remote import HopSettings, RemoteHop
from device_sdk_simulators.cale.role_server import read_certificates
from device_sdk_simulators.cale.roles import EdgeSettings, Remote, edge_role
from device_sdk_simulators.http.messages import Request

from tests.simulators.cale.support import Relay

USAGES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def credentials(directory: Path, ca: Path, name: str, *, when: datetime | None = None, usages=USAGES) -> KeyFiles:
    """A certificate of the CA in a directory (made if there is none)."""
    now = when or datetime.now(UTC)
    authority = single_authority(ca, "CALE Hop CA", "ec-p256", datetime.now(UTC) - timedelta(days=900))
    directory.mkdir()
    key = new_key("ec-p256")
    files = KeyFiles.below(directory)
    write_key(files.key, key)
    files.certificate.write_bytes(pem(make_leaf(authority, key, [name], usages, now)))
    files.anchors.write_bytes(pem(authority.certificate))
    return files


def hop_of(site, role: str, files: KeyFiles, *, peer: str | None = None, url: str = "", **options) -> RemoteHop:
    settings = HopSettings(
        url or site.roles[role].url, peer or role, files.certificate, files.key, files.anchors, 2, **options
    )
    return RemoteHop(settings)


def usual(site, role: str) -> KeyFiles:
    return KeyFiles.below(site.state / role / "hop")


def exchange(connection: http.client.HTTPSConnection) -> None:
    connection.request("GET", "/validate")
    connection.getresponse()


VALIDATE = Request("GET", "/validate", [("CALE-GUID", "00000000-0000-0000-0000-000000000000")])
INNER = ("authz", "origin", "resource")


@pytest.mark.parametrize("role", INNER)
def test_without_a_certificate_there_is_no_answer_cale_52(site, role):
    context = ssl.create_default_context(cafile=str(usual(site, role).anchors))
    context.check_hostname = False
    connection = http.client.HTTPSConnection("localhost", site.roles[role].port, context=context, timeout=60)
    # the handshake of TLS 1.3 is over for the client before the server has said no
    with pytest.raises((ssl.SSLError, ConnectionError)):
        exchange(connection)
    connection.close()
    assert all(entry["path"] != "/validate" for entry in site.roles[role].log())


@pytest.mark.parametrize("role", INNER)
def test_the_roles_speak_tls_1_3_among_themselves_cale_30(site, role):
    """With everything right but the version; the same client in 1.3 is answered."""
    files = usual(site, "origin" if role == "resource" else "edge")
    context = ssl.create_default_context(cafile=str(files.anchors))
    context.check_hostname = False
    context.load_cert_chain(files.certificate, files.key)
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = version
        connection = http.client.HTTPSConnection("localhost", site.roles[role].port, context=context, timeout=20)
        if version == ssl.TLSVersion.TLSv1_3:
            exchange(connection)
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                exchange(connection)
        connection.close()


def test_a_caller_speaks_tls_1_3_only_cale_30(site):
    """To a server with the right certificate that knows 1.2 alone nothing is said."""
    server = OddServer(
        usual(site, "authz"), b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ssl.TLSVersion.TLSv1_2
    )
    hop = hop_of(site, "authz", usual(site, "edge"), url=server.url)
    try:
        with pytest.raises((HopTrustError, HopProtocolError)):
            hop(VALIDATE)
    finally:
        server.close()
        hop.close()


@pytest.mark.slow
@pytest.mark.parametrize("role", INNER)
@pytest.mark.parametrize("what", ["foreign", "expired", "future", "server-only"])
def test_bad_certificates_end_in_the_handshake_cale_30(site, role, what, tmp_path):
    ca = tmp_path / "foreign-ca" if what == "foreign" else site.state / "ca" / "hop"
    days = {"expired": -500, "future": 100}.get(what, 0)
    usages = USAGES[:1] if what == "server-only" else USAGES
    when = datetime.now(UTC) + timedelta(days=days)
    # the same name, the same issuer name
    files = credentials(tmp_path / "bad", ca, "edge" if role != "resource" else "origin", when=when, usages=usages)
    files.anchors.write_bytes(usual(site, role).anchors.read_bytes())
    hop = hop_of(site, role, files)
    # which of the two depends on whether the alert or the end of the connection is seen first
    with pytest.raises((HopTrustError, HopProtocolError)):
        hop(VALIDATE)
    assert all(entry["path"] != "/validate" for entry in site.roles[role].log())


@pytest.mark.slow
@pytest.mark.parametrize("role", INNER)
def test_a_strangers_valid_certificate_is_refused_cale_59(site, role, tmp_path):
    """Signed by the right CA, and not on the list: neither a new one nor that of another role."""
    new = credentials(tmp_path / "new", site.state / "ca" / "hop", "auditor")
    other = usual(site, "resource" if role != "resource" else "edge")
    for files in (new, other):
        hop = hop_of(site, role, files)
        assert hop(VALIDATE).status == 403
        hop.close()
        assert site.roles[role].log()[-1]["reason"] == "not a listed peer"


@pytest.mark.slow
def test_a_caller_checks_whom_it_calls(site, tmp_path):
    """The edge device believes only the server it was told of, though all have certificates of one CA."""
    hop = hop_of(site, "origin", usual(site, "edge"), peer="authz")
    with pytest.raises(HopTrustError, match="answers there, and not authz"):
        hop(VALIDATE)
    foreign = credentials(tmp_path / "foreign", tmp_path / "foreign-ca", "edge")
    with pytest.raises(HopTrustError, match="CERTIFICATE_VERIFY_FAILED"):
        hop_of(site, "authz", foreign)(VALIDATE)


def test_peers_by_fingerprint(site, tmp_path):
    certificate = read_certificates(usual(site, "authz").certificate)[0]
    digits = fingerprint(certificate)
    pairs = ":".join(digits[place : place + 2] for place in range(0, 64, 2)).upper()
    for peer in (f"sha256:{digits}", f"SHA256:{pairs}"):
        hop = hop_of(site, "authz", usual(site, "edge"), peer=peer)
        assert hop(VALIDATE).status == 403
        hop.close()
    same_name = credentials(tmp_path / "twin", site.state / "ca" / "hop", "authz")
    assert Peers([f"sha256:{digits}"]).name_of(read_certificates(same_name.certificate)[0]) is None
    assert Peers(["AUTHZ"]).name_of(certificate) == "authz"
    assert Peers(["other", "authz"]).name_of(None) is None


@pytest.mark.parametrize(
    "text", ["", " ", "*", "*.example", "sha256:12", "sha256:" + "g" * 64, "with space", "ünïcode"]
)
def test_what_cannot_be_a_peer(text):
    with pytest.raises(ValueError, match=r"neither|64 hex"):
        Peers([text])


@pytest.mark.slow
def test_connections_are_kept_and_a_stale_one_is_no_failure(site, registered):
    relay_free = hop_of(site, "authz", usual(site, "edge"))
    before = site.roles["authz"]._listener.connections
    for _ in range(5):
        assert relay_free(VALIDATE).status == 403
    assert site.roles["authz"]._listener.connections == before + 1
    # the server ends it, as it does with idle ones
    site.roles["authz"]._listener.drop_connections()
    time.sleep(0.2)
    assert relay_free(VALIDATE).status == 403
    assert site.roles["authz"]._listener.connections == before + 2
    relay_free.close()


@pytest.mark.slow
def test_many_threads_share_a_hop(site):
    hop = hop_of(site, "authz", usual(site, "edge"))
    statuses = []

    def ask() -> None:
        statuses.extend(hop(VALIDATE).status for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [403] * 40
    hop.close()


class OddServer:
    """A server with the right certificate and wrong manners."""

    def __init__(self, files: KeyFiles, answer: bytes | None, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self._answer = answer
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.key)
        self._context.load_verify_locations(files.anchors)
        self._context.maximum_version = newest
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self.end = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        sock, _ = self._socket.accept()
        with suppress(ssl.SSLError), sock, self._context.wrap_socket(sock, server_side=True) as tls:
            tls.recv(65536)
            if self._answer is None:
                self.end.wait(10)
            else:
                tls.sendall(self._answer)

    def close(self) -> None:
        self.end.set()
        self._thread.join()
        self._socket.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, HopTimeoutError),
        (b"", HopProtocolError),
        (b"SSH-2.0-OpenSSH\r\n\r\n", HopProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", HopProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, HopProtocolError),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, HopProtocolError),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", HopProtocolError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", HopProtocolError),
    ],
    ids=["silent", "nothing", "another protocol", "short", "long", "long without length", "many fields", "bad chunk"],
)
def test_failures_have_types(site, answer, error):
    server = OddServer(usual(site, "authz"), answer)
    hop = hop_of(site, "authz", usual(site, "edge"), url=server.url, body_bytes=1000)
    try:
        with pytest.raises(HopError) as caught:
            hop(VALIDATE)
        assert type(caught.value) is error
    finally:
        server.close()
        hop.close()


@pytest.mark.slow
def test_nobody_there(site):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(HopUnreachableError):
        hop_of(site, "authz", usual(site, "edge"), url=f"https://127.0.0.1:{port}")(VALIDATE)


@pytest.mark.slow
@pytest.mark.parametrize("url", ["http://x:1", "https://", "https://x/base", "https://x?y", "ftp://x"])
def test_urls_of_roles(site, url):
    with pytest.raises(ValueError, match="HOST:PORT"):
        hop_of(site, "authz", usual(site, "edge"), url=url)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["authz", "origin"])
@pytest.mark.parametrize("on_failure", ["decoy", "502"])
def test_a_role_that_is_gone_is_a_decoy_or_502_cale_24(site, registered, role, on_failure):
    site.policies["edge"].cale.on_failure = on_failure
    real = {path: registered.get(path) for path in ("/resource", "/whoami")}
    site.roles[role].stop()
    for path in ("/resource",) if role == "origin" else ("/resource", "/whoami"):
        status, fields, body = registered.get(path)
        assert status == (200 if on_failure == "decoy" else 502)
        if on_failure == "decoy":
            assert [name for name, _ in fields] == [name for name, _ in real[path][1]]
            assert abs(len(body) - len(real[path][2])) <= (24 if path == "/whoami" else 0)
            assert registered.read(path) != b'{"foo": "bar"}\n'
            assert site.edge.log()[-1]["decoy"] is True
            assert "refused" in str(site.edge.log()[-1]["reason"])
    if role == "authz":
        assert registered.register(site.authorization) == 502


@pytest.mark.slow
def test_a_resource_server_that_is_gone_is_an_encrypted_error(site, registered):
    site.roles["resource"].stop()
    assert registered.read("/resource") == b'{"error": 502}\n'


@pytest.mark.slow
def test_nothing_on_the_wire_between_the_roles_can_be_read(site, make_client):
    """A relay on each hop sees TLS and nothing else."""
    with Relay(site.roles["authz"].port) as one, Relay(site.roles["origin"].port) as two:
        site.edge.stop()
        settings = EdgeSettings(
            Remote(f"https://localhost:{one.port}", "authz"),
            Remote(f"https://localhost:{two.port}", "origin"),
            user="device",
        )
        with edge_role(site.place("edge"), site.policies["edge"], settings) as edge:
            client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
            assert client.register(site.authorization) == 200
            assert client.read("/resource") == b'{"foo": "bar"}\n'
            client.close()
        for relay in (one, two):
            # a registration has one of its own
            assert relay.connections == (2 if relay is one else 1)
            assert len(relay.seen) > 2000
            # long enough not to be in ciphertext by chance
            for word in (b'{"foo"', b"CALE-", b"GET /", b"HTTP/1", client.guid.encode(), b"smime"):
                assert word not in relay.seen
