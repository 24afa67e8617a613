"""Channel binding over real connections: tls-unique by Python's own TLS, the exporter by pyOpenSSL."""

from __future__ import annotations

import base64
import socket
import ssl

import pytest
from cryptography.x509.name import _ASN1Type
from OpenSSL import SSL

from tests.simulators.server.support import EST, basic, make_csr

CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"
IDENTITY_LINKING = "1.2.840.113549.1.9.16.2.58"


ENCODINGS = {_ASN1Type.BMPString: "utf-16-be", _ASN1Type.UniversalString: "utf-32-be"}


def bound_csr(binding: bytes, oid: str = CHALLENGE_PASSWORD, tag=_ASN1Type.PrintableString) -> bytes:
    text = base64.b64encode(binding).decode().encode(ENCODINGS.get(tag, "ascii"))
    return make_csr(attributes=[(oid, text, tag)])


def enrol(server, connection, csr: bytes) -> int:
    connection.request("POST", EST + "simpleenroll", base64.b64encode(csr), dict([basic(server)]))
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("oid", [CHALLENGE_PASSWORD, IDENTITY_LINKING])
@pytest.mark.parametrize(
    "tag",
    [
        _ASN1Type.PrintableString, _ASN1Type.UTF8String, _ASN1Type.T61String, _ASN1Type.IA5String,
        _ASN1Type.UniversalString, _ASN1Type.BMPString,
    ],
)  # fmt: skip
def test_tls_unique_of_this_connection_est_90_est_93_est_108(server, connect, oid, tag):
    connection = connect(maximum="1.2")
    assert enrol(server, connection, bound_csr(connection.sock.get_channel_binding("tls-unique"), oid, tag)) == 200
    assert server.log()[-1]["binding"] == "tls-unique"


@pytest.mark.parametrize("oid", [CHALLENGE_PASSWORD, IDENTITY_LINKING])
@pytest.mark.parametrize("maximum", ["1.2", None])
def test_the_binding_of_another_connection_is_refused_est_90(server, connect, oid, maximum):
    first, second = connect(maximum=maximum), connect(maximum=maximum)
    assert enrol(server, second, bound_csr(first.sock.get_channel_binding("tls-unique"), oid)) == 400
    assert "linking failed" in server.log()[-1]["reason"]


def test_a_password_in_challenge_password_is_not_a_binding_est_109(server, connect):
    assert enrol(server, connect(), make_csr(attributes=[(CHALLENGE_PASSWORD, b"secret", _ASN1Type.UTF8String)])) == 400


def test_an_empty_challenge_password_counts_as_none_est_94(server, connect):
    assert enrol(server, connect(), make_csr(attributes=[(CHALLENGE_PASSWORD, b"", _ASN1Type.UTF8String)])) == 200
    assert "binding" not in server.log()[-1]


def test_no_binding_where_it_is_required_est_92(server, connect):
    server.policy.require_binding = True
    assert enrol(server, connect(), make_csr()) == 400
    assert "required" in server.log()[-1]["reason"]


def test_finished_on_tls_1_3_only_by_policy_est_98(server, connect):
    for accepted, status in ((False, 400), (True, 200)):
        server.policy.accept_finished = accepted
        connection = connect()
        # CPython gives the client's Finished under this name on TLS 1.3 too
        assert enrol(server, connection, bound_csr(connection.sock.get_channel_binding("tls-unique"))) == status
    assert server.log()[-1]["binding"] == "finished"


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
def test_exporter_est_97_est_98(server, version):
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(version)
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    raw.setblocking(True)
    connection = SSL.Connection(context, raw)
    connection.set_connect_state()
    connection.do_handshake()
    binding = connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")
    body = base64.b64encode(bound_csr(binding))
    name, value = basic(server)
    head = f"POST {EST}simpleenroll HTTP/1.1\r\n{name}: {value}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    assert connection.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert server.log()[-1]["binding"] == "tls-exporter"
    raw.close()


def test_tls_unique_of_a_resumed_session_is_the_servers_finished_est_93(server):
    """RFC 5929 section 3.1; the client certificate's session is resumed as well (EST-57)."""
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for resumed in (False, True):
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            assert sock.session_reused == resumed
            session = sock.session
            body = base64.b64encode(bound_csr(sock.get_channel_binding("tls-unique")))
            name, value = basic(server)
            head = f"POST {EST}simpleenroll HTTP/1.1\r\n{name}: {value}\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
        assert server.log()[-1]["resumed"] == resumed
        assert server.log()[-1]["binding"] == "tls-unique"


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_still_knows_the_client_certificate_est_57(server, run, tmp_path, connect, maximum):
    run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "k.pem",
        "-outform", "DER", "-out", "r.der", "-subj", "/CN=dev-1")  # fmt: skip
    csr = base64.b64encode((tmp_path / "r.der").read_bytes())
    connection = connect()
    connection.request("POST", EST + "simpleenroll", csr, dict([basic(server)]))
    (tmp_path / "c.p7").write_bytes(base64.b64decode(connection.getresponse().read()))
    run("openssl", "pkcs7", "-inform", "DER", "-in", "c.p7", "-print_certs", "-out", "c.pem")
    context = ssl.create_default_context(cafile=str(server.ca_file))
    context.load_cert_chain(tmp_path / "c.pem", tmp_path / "k.pem")
    context.maximum_version = maximum
    session = None
    for resumed in (False, True):
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            head = f"POST {EST}simplereenroll HTTP/1.1\r\nContent-Length: {len(csr)}\r\n\r\n"
            sock.sendall(head.encode() + csr)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
            assert sock.session_reused == resumed
            session = sock.session
        assert (server.log()[-1]["resumed"], server.log()[-1]["authentication"]) == (resumed, "tls")
