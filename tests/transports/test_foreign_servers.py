"""OpenSSL's and GnuTLS's own servers judge our client authentication."""

import contextlib
import re
import socket
import subprocess
import time

import pytest

from device_sdk.errors import TlsError
from device_sdk.model.trust import TlsIdentity
from tests.ports import free_port
from tests.transports.conftest import get
from tests.transports.pki import CLIENT, Ca
from tests.transports.soft_keys import soft_key


class Running(str):
    """A running server's URL, and its process."""

    def __new__(cls, url, process):
        made = super().__new__(cls, url)
        made.process = process
        return made


@contextlib.contextmanager
def running(command, port, log):
    with log.open("wb") as out, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out) as process:
        try:
            end = time.monotonic() + 60
            while True:
                assert process.poll() is None, log.read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < end, log.read_text()
                    time.sleep(0.05)
            yield Running(f"https://127.0.0.1:{port}", process)
        finally:
            process.terminate()
            process.wait(60)


def openssl_server(good, ca, directory, port, version):
    chain, key = good.write(directory, "server")
    (directory / "ca.pem").write_bytes(ca.pem())
    return [
        "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", chain, "-key", key, "-www", version,
        "-Verify", "2", "-verify_return_error", "-CAfile", str(directory / "ca.pem"),
    ]  # fmt: skip


def gnutls_server(good, ca, directory, port, version):
    chain, key = good.write(directory, "server")
    (directory / "ca.pem").write_bytes(ca.pem())
    return [
        "gnutls-serv", "--port", str(port), "--x509certfile", chain, "--x509keyfile", key, "--http",
        "--require-client-cert", "--verify-client-cert", "--x509cafile", str(directory / "ca.pem"),
        "--priority", f"NORMAL:-VERS-ALL:+VERS-{version}",
    ]  # fmt: skip


@pytest.fixture(params=["ec-p256", "rsa-2048"])
def any_identity(request, ca):
    key = soft_key(request.param)
    return TlsIdentity((ca.issue(usages=CLIENT, key=key, subject="hardware device").certificate,), key)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_server_verifies_us(version, any_identity, good, ca, tmp_path, connect):
    port = free_port()
    with running(openssl_server(good, ca, tmp_path, port, version), port, tmp_path / "log") as url:
        response = connect(url, identity=any_identity).send(get("/"))
    assert response.status_code == 200
    assert b"hardware device" in response.body  # s_server prints the client certificate it verified


@pytest.mark.parametrize("version", ["TLS1.2", "TLS1.3"])
def test_gnutls_serv_verifies_us(version, any_identity, good, ca, tmp_path, connect):
    port = free_port()
    with running(gnutls_server(good, ca, tmp_path, port, version), port, tmp_path / "log") as url:
        response = connect(url, identity=any_identity).send(get("/"))
    assert response.status_code == 200
    assert re.search(rb"CN=hardware device|hardware device", response.body)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_server_refuses_a_certificate_of_another_ca(version, good, ca, tmp_path, connect):
    key = soft_key()
    stranger = TlsIdentity((Ca("Elsewhere").issue(usages=CLIENT, key=key).certificate,), key)
    port = free_port()
    command = openssl_server(good, ca, tmp_path, port, version)
    with running(command, port, tmp_path / "log") as url, pytest.raises(TlsError, match=url) as caught:
        connect(url, identity=stranger).send(get("/"))
    assert "CA of the client certificate" in str(caught.value)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_server_wants_a_certificate_and_gets_none(version, good, ca, tmp_path, connect):
    port = free_port()
    command = openssl_server(good, ca, tmp_path, port, version)
    with running(command, port, tmp_path / "log") as url, pytest.raises(TlsError, match="client certificate"):
        connect(url).send(get("/"))
