"""TLS client authentication with keys that cannot be exported: every keystore, both kinds of keys, both TLS versions."""

import gc
import socket
import ssl
import struct
import threading
import time

import pytest
from cryptography import x509

from device_sdk.errors import ConfigurationError
from device_sdk.keystores.registry import create_key
from device_sdk.model.trust import TlsIdentity
from device_sdk.transports.https.timed import TimedTlsSocket
from device_sdk.transports.openssl_provider import use_private_key
from tests.transports.conftest import get
from tests.transports.pki import CLIENT, Ca
from tests.transports.soft_keys import PublicHalf, soft_key

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture
def make_key(request, tmp_path):
    """make_key(keystore, key_type): a fresh key that stays where it is."""
    opened = []

    def make(keystore, key_type):
        if keystore == "software":
            return soft_key(key_type)
        if keystore == "pkcs11":
            uri = request.getfixturevalue("softhsm_token").uri_of("tls")
        else:
            request.getfixturevalue("swtpm")
            uri = f"tpm2:file={tmp_path / 'key.pem'}"
        opened.append(create_key(uri, key_type))
        return opened[-1]

    yield make
    for key in opened:
        key.close()


def identify(ca, key):
    return TlsIdentity((ca.issue(usages=CLIENT, key=PublicHalf(key), subject="device").certificate,), key)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("key_type", ["ec-p256", "rsa-2048"])
@pytest.mark.parametrize("keystore", ["software", "pkcs11", "tpm2"])
def test_keystore_authenticates_tls(keystore, key_type, version, make_key, ca, serve, connect):
    identity = identify(ca, make_key(keystore, key_type))
    server = serve(version=VERSIONS[version], client_ca=ca)
    response = connect(server, identity=identity).send(get())
    assert (response.status_code, response.body) == (200, b"hello")
    assert response.connection.tls_version == f"TLSv{version}"
    assert response.connection.client_authenticated
    (seen,) = server.connections
    assert x509.load_der_x509_certificate(seen.certificate) == identity.chain[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_est_157_a_server_that_does_not_ask_has_not_seen_the_certificate(version, make_key, ca, serve, connect):
    """A certificate that could have been shown is no authentication."""
    server = serve(version=VERSIONS[version])
    response = connect(server, identity=identify(ca, make_key("software", "ec-p256"))).send(get())
    assert response.status_code == 200
    assert not response.connection.client_authenticated
    assert server.connections[0].certificate is None


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("key_type", ["ec-p384", "ec-p521", "rsa-3072"])
def test_other_key_sizes(key_type, version, ca, serve, connect):
    identity = identify(ca, soft_key(key_type))
    server = serve(version=VERSIONS[version], client_ca=ca)
    assert connect(server, identity=identity).send(get()).status_code == 200


def test_client_sends_its_intermediates(tmp_path, serve, connect):
    """EST-136."""
    root = Ca("Client Root")
    issuing = Ca("Client Issuing", parent=root)
    key = soft_key()
    leaf = issuing.issue(usages=CLIENT, key=key)
    server = serve(client_ca=root)
    identity = TlsIdentity((leaf.certificate, issuing.certificate), key)
    assert connect(server, identity=identity).send(get()).status_code == 200


def test_certificate_of_another_key_is_refused_at_once(ca, trust, connect, identity):
    mixed = TlsIdentity(identity.chain, soft_key())
    with pytest.raises(ConfigurationError, match="another key"):
        connect("https://127.0.0.1:1", identity=mixed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ConfigurationError, match="another key"):
        use_private_key(context, ca.issue(key=soft_key()).pem(), soft_key())


def test_chain_that_is_no_chain():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        use_private_key(context, b"garbage", soft_key())


def test_identity_without_certificate(trust, connect):
    with pytest.raises(ConfigurationError, match="without a certificate"):
        connect("https://127.0.0.1:1", identity=TlsIdentity((), soft_key()))


@pytest.mark.slow
def test_threads_with_keys_of_their_own(ca, serve, connect):
    """8 threads x 10 handshakes over one provider; each server sees the certificate of the right key."""
    server = serve(client_ca=ca)
    failures, shown = [], set()

    def work(number):
        try:
            identity = identify(ca, soft_key("ec-p256"))
            shown.add(identity.chain[0].serial_number)
            for _ in range(10):
                transport = connect(server, identity=identity)
                assert transport.send(get()).status_code == 200
                transport.close()
        except Exception as exc:  # noqa: BLE001  # shown below
            failures.append((number, exc))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert server.handshakes == 80
    assert {x509.load_der_x509_certificate(s.certificate).serial_number for s in server.connections} == shown


def test_one_transport_used_by_threads(ca, serve, connect, identity):
    server = serve(client_ca=ca)
    transport = connect(server, identity=identity)
    results = []
    threads = [threading.Thread(target=lambda: results.append(transport.send(get()).body)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [b"hello"] * 16
    assert len(server.connections) == 1


def test_software_keys_and_other_pem_files_load_as_before(ca, tmp_path, identity):
    """The provider keeps out of everybody else's way: a PEM key file still goes to OpenSSL's own implementation."""
    use_private_key(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca.issue(key=identity.key).pem(), identity.key)
    before = identity.key.signatures
    for key_type in ("ec-p256", "rsa-2048"):
        pair = ca.issue("localhost", key=soft_key(key_type)._inner)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair.write(tmp_path, key_type))
    assert identity.key.signatures == before


def test_key_is_forgotten_with_its_context(ca, identity):
    from device_sdk.transports.openssl_provider.keys import KEYS

    gc.collect()  # contexts of other tests that are in some cycle yet
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    before = len(KEYS)
    use_private_key(context, ca.issue(key=identity.key).pem(), identity.key)
    assert len(KEYS) == before + 1
    del context
    assert len(KEYS) == before


def test_a_server_that_goes_before_the_handshake_leaves_nothing_open():
    """Killed with connections in its queue: CPython's `wrap_socket` raises then, with a socket that nobody else knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = TimedTlsSocket
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        peer, _ = server.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    closed = b"\x07"  # linux/tcp.h, TCP_CLOSE
    while client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != closed:
        time.sleep(0.001)
    with pytest.raises(ConnectionResetError):
        context.wrap_socket(client, server_hostname="localhost")
