"""Passwords travel inside TLS only, and no client has to know them, or cookies, or one scheme: EST-81, EST-82."""

from __future__ import annotations

import base64
import socket
import ssl
import warnings
from contextlib import suppress

import pytest
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.support import EST, basic, client_context, make_csr
from tests.simulators.server.test_http import read_all, status_of


@pytest.fixture
def server(tmp_path):
    with ReferenceServer(tmp_path / "server", policy=Policy(http_auth=("basic", "digest"))) as running:
        yield running


def request(server) -> bytes:
    body = base64.b64encode(make_csr())
    name, value = basic(server)
    head = f"POST {EST}simpleenroll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{name}: {value}\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_est_81_a_password_without_tls_gets_no_answer(server):
    """Neither a certificate nor a challenge, which would be a question for the password: not one byte of HTTP."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
        with suppress(ConnectionError):
            plain.sendall(request(server))
        assert b"HTTP" not in read_all(plain)
    assert (server.log(), server.est.register.entries()) == ([], [])
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    with client_context(server).wrap_socket(raw, server_hostname="localhost") as sock:
        sock.sendall(request(server))
        assert status_of(read_all(sock)) == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
def test_est_81_old_tls_carries_no_password(server, version):
    context = client_context(server)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    with raw, pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        context.wrap_socket(raw, server_hostname="localhost")
    assert server.log() == []


@pytest.fixture
def curl(run, server):
    """Enrol with curl, which keeps no cookies unless it is told to: the statuses, and what the answers' heads said."""
    run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "key.pem",
        "-outform", "DER", "-out", "req.der", "-subj", "/CN=dev-1")  # fmt: skip
    run("openssl", "base64", "-in", "req.der", "-out", "req.b64")

    def enrol(*words: str) -> tuple[list[int], str]:
        before = len(server.log())
        heads = run("curl", "-sS", "--cacert", server.ca_file, "-H", "Content-Type: application/pkcs10", "-D", "-",
                    "--data-binary", "@req.b64", "-o", "answer.b64", *words, f"{server.url}{EST}simpleenroll").stdout  # fmt: skip
        return [entry["status"] for entry in server.log()[before:]], heads

    return enrol


@pytest.mark.parametrize(
    ("scheme", "statuses"), [("--basic", [200]), ("--digest", [401, 200]), ("--anyauth", [401, 200])]
)
def test_est_82_a_client_may_know_one_scheme_and_no_cookies(server, curl, scheme, statuses):
    """RFC 5273 section 4; what is asked for is named in the challenge, and nothing else is."""
    seen, heads = curl(scheme, "-u", f"{server.user}:{server.password}")
    assert seen == statuses
    assert "set-cookie" not in heads.lower()
    assert ("www-authenticate: " in heads.lower()) == (401 in statuses)


@pytest.mark.slow
def test_est_82_a_client_may_know_neither(server, curl, run):
    """A certificate does, and what needs nobody's name needs no login."""
    assert curl("-u", f"{server.user}:{server.password}")[0] == [200]
    run("openssl", "base64", "-d", "-A", "-in", "answer.b64", "-out", "answer.p7")
    run("openssl", "pkcs7", "-inform", "DER", "-in", "answer.p7", "-print_certs", "-out", "cert.pem")
    assert curl("--cert", "cert.pem", "--key", "key.pem")[0] == [200]
    assert server.log()[-1]["authentication"] == "tls"
    for operation in ("cacerts", "csrattrs"):
        run("curl", "-sS", "--fail", "--cacert", server.ca_file, "-o", "out", f"{server.url}{EST}{operation}")
