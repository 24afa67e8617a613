"""A key the server generated, once it is in its keystore, does what any other key does (EST-202): TLS, CSR, CMS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from device_sdk.keystores.registry import import_key, open_key
from device_sdk.model.csr import CsrSpec
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.transports.https import client_ssl_context
from device_sdk.wire.cms import open_envelope
from device_sdk.wire.csr import build_csr
from tests.cms.messages import encrypt, write_certificate
from tests.keystores.foreign_keys import openssl, secret
from tests.ports import free_port
from tests.transports.pki import CLIENT, Ca

STORES = ["pkcs11", "tpm2", "file"]
KINDS = ["ec-p256", "ec-p384", "rsa-2048"]


@pytest.fixture(params=[(store, kind) for store in STORES for kind in KINDS], ids="-".join)
def imported(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A key that was imported, closed, and opened again by its URI."""
    store, kind = request.param
    if store == "pkcs11":
        uri = request.getfixturevalue("softhsm_token").uri_of("imported")
    elif store == "tpm2":
        request.getfixturevalue("swtpm")
        uri = f"tpm2:file={tmp_path}/key.pem"
    else:
        uri = f"file:{tmp_path}/key.pem"
    import_key(uri, secret(kind)).close()
    with open_key(uri, allow_imported=True) as key:
        yield key


@contextmanager
def _server(ca: Ca, directory: Path, version: str) -> Iterator[int]:
    """`openssl s_server` that wants a certificate of this CA; gives its port."""
    chain, key = ca.issue("localhost").write(directory, "server")
    (directory / "ca.pem").write_bytes(ca.pem())
    port = free_port()
    command = [
        "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(chain), "-key", str(key), "-www", version,
        "-Verify", "2", "-verify_return_error", "-CAfile", str(directory / "ca.pem"),
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        try:
            for _ in range(1200):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield port
        finally:
            run.terminate()
            run.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_est_202_tls_client_authentication(imported: Any, tmp_path: Path, version: str) -> None:
    """OpenSSL's own server verifies the certificate and the signature in the handshake."""
    ca = Ca()
    identity = TlsIdentity((ca.issue(usages=CLIENT, key=imported, subject="device").certificate,), imported)
    context = client_ssl_context(ServerTrust(explicit=(ca.certificate,)), identity)
    with (
        _server(ca, tmp_path, version) as port,
        socket.create_connection(("127.0.0.1", port), 10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while part := _received(connection):
            answer += part
    assert b"200 ok" in answer
    assert b"CN=device" in answer or b"CN = device" in answer


def _received(connection: ssl.SSLSocket) -> bytes:
    try:
        return connection.recv(65536)
    except ssl.SSLError:  # it ends without a word
        return b""


@pytest.mark.slow
def test_est_202_certificate_request(imported: Any) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "device")])
    request = x509.load_der_x509_csr(build_csr(CsrSpec(subject), imported)).public_bytes(Encoding.PEM)
    openssl("req", "-verify", "-noout", data=request)
    assert x509.load_pem_x509_csr(request).public_key() == imported.public_key()


@pytest.mark.slow
def test_est_202_cms_decryption(imported: Any, tmp_path: Path) -> None:
    """What `openssl cms -encrypt` made for its certificate: key transport for RSA, key agreement for EC."""
    certificate = write_certificate(tmp_path, imported.public_key())
    assert open_envelope(encrypt(b"for you", certificate, cipher="aes-256-cbc"), imported) == b"for you"
