"""Every fault does what its description says, and only as often as it was told."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from device_sdk_simulators.est import odd_multipart
from device_sdk_simulators.faults import FAULTS, Faults, UnknownFaultError
from device_sdk_simulators.http.messages import Request
from pyasn1.codec.ber.decoder import decode as decode_ber
from pyasn1_alt_modules import rfc5652

from tests.simulators.server.support import EST, certificates_in, client_context, make_csr, post


def get(server, operation="cacerts"):
    return server.handle(Request("GET", EST + operation))


def test_counts_operations_and_values():
    faults = Faults()
    faults.status = 2
    assert [faults.take("status", "cacerts", "503") for _ in range(3)] == ["503", "503", None]
    faults.set("media-type", "a/b", operation="cacerts")
    assert faults.take("media_type", "simpleenroll") is None
    assert faults.take("media_type", "cacerts") == "a/b"
    faults.media_type = False
    assert faults.quiet
    faults.parse("media_type=a/b; c=d*1@cacerts")
    assert faults.take("media_type", "cacerts") == "a/b; c=d"
    assert faults.quiet
    for wrong in ("nonsense", "status*x", "=1", "status=600", "drip=-1", "wrap=0", "redirect=a b c", "status@cacert"):
        with pytest.raises(UnknownFaultError):
            faults.parse(wrong)


def test_a_spoilt_answer_is_followed_by_a_good_one(server):
    server.faults.status = 1
    assert [get(server).status, get(server).status] == [503, 200]


@pytest.mark.parametrize(
    ("fault", "value", "status", "headers"),
    [
        ("status", "418", 418, {}),
        ("unauthorized", True, 401, {"WWW-Authenticate": 'Basic realm="estrealm", charset="UTF-8"'}),
        ("retry_after", True, 202, {"Retry-After": "1"}),
        ("retry_after", "date", 202, {"Retry-After": "Fri, 02 Jan 2026 00:00:02 GMT"}),
        ("retry_after", "none", 202, {}),
        ("redirect", "302 https://other.example/x", 302, {"Location": "https://other.example/x"}),
        ("html", True, 500, {"Content-Type": "text/html"}),
        ("media_type", "text/plain", 200, {"Content-Type": "text/plain"}),
    ],
)
def test_answers_of_another_kind(server, fault, value, status, headers):
    server.clock = lambda: datetime(2026, 1, 2, tzinfo=UTC)
    setattr(server.faults, fault, value)
    response = get(server)
    assert response.status == status
    assert headers.items() <= dict(response.headers).items()
    if value == "none":
        assert "Retry-After" not in dict(response.headers)


def test_noise_has_the_size_asked_for(server):
    server.faults.noise = "6000"
    assert len(get(server).body) == 6000


@pytest.mark.parametrize("fault", ["no_media_type", "no_transfer_encoding"])
def test_headers_left_out(server, fault):
    before = len(get(server).headers)
    setattr(server.faults, fault, True)
    assert len(get(server).headers) == before - 1


def body_with(server, fault, value: bool | str = True) -> bytes:
    setattr(server.faults, fault, value)
    return get(server).body


def test_text_encodings(server):
    plain = get(server).body
    der = base64.b64decode(plain)
    assert body_with(server, "wrap", "76crlf").split(b"\r\n")[0] == plain[:76]
    server.faults.clear()
    body_with(server, "wrap")
    assert max(len(line) for line in get(server).body.split(b"\n")) == 64
    server.faults.clear()
    assert body_with(server, "no_newline") + b"\n" == plain
    server.faults.clear()
    assert body_with(server, "der") == der
    server.faults.clear()
    assert pkcs7.load_pem_pkcs7_certificates(body_with(server, "pem"))
    server.faults.clear()
    assert base64.b64decode(body_with(server, "trailing")).startswith(der)
    server.faults.clear()
    assert body_with(server, "not_base64")[:1] == b"*"
    server.faults.clear()
    assert base64.b64decode(body_with(server, "not_cms")).startswith(b"this is not")
    server.faults.clear()
    assert body_with(server, "empty_body") == b""


def parsed(body: bytes):
    content, rest = decode_ber(base64.b64decode(body), asn1Spec=rfc5652.ContentInfo())
    assert not rest
    return decode_ber(content["content"], asn1Spec=rfc5652.SignedData())[0]


def test_ber_and_empty_content(server, run, tmp_path):
    body = body_with(server, "ber")
    assert base64.b64decode(body)[:2] == b"\x30\x80"
    (tmp_path / "ber.p7").write_bytes(base64.b64decode(body))
    printed = run("openssl", "pkcs7", "-inform", "DER", "-in", "ber.p7", "-print_certs").stdout
    assert printed.count("BEGIN CERTIFICATE") == 2
    server.faults.clear()
    signed = parsed(body_with(server, "empty_content"))
    assert bytes(signed["encapContentInfo"]["eContent"]) == b""


def test_unordered_certificates_are_not_in_der_order(server, run, tmp_path):
    def order(body):
        found = [bytes(one["certificate"]["signature"].asOctets()) for one in parsed(body)["certificates"]]
        assert len(found) == 2
        return found

    good = order(get(server).body)
    body = body_with(server, "unordered")
    assert order(body) == good[::-1]
    (tmp_path / "u.p7").write_bytes(base64.b64decode(body))
    run("openssl", "pkcs7", "-inform", "DER", "-in", "u.p7", "-print_certs", "-out", "u.pem")
    run("openssl", "verify", "-CAfile", server.ca_file, "u.pem")


def test_bags(server):
    server.faults.extra_roots = "3"
    assert len(certificates_in(get(server))) == 5
    server.faults.clear()
    server.faults.no_root = True
    assert certificates_in(get(server)) == [server.hierarchy.issuing.certificate]
    server.faults.no_certificate = True
    assert len(parsed(get(server).body)["certificates"]) == 0


def test_issued_certificates(server):
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)

    def issued(fault):
        server.faults.clear()
        setattr(server.faults, fault, True)
        return certificates_in(post(server, make_csr(key)))

    assert issued("other_key")[0].public_key() != key.public_key()
    assert issued("other_subject")[0].subject.rfc4514_string() == "CN=somebody else"
    assert issued("other_issuer")[0].issuer.rfc4514_string() == "CN=Unknown CA"
    assert issued("expired")[0].not_valid_after_utc < now
    assert issued("future")[0].not_valid_before_utc > now
    assert len(issued("with_chain")) == 3


def over_tls(server) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPSConnection("localhost", server.port, context=client_context(server), timeout=10)
    with closing(connection):
        connection.request("GET", EST + "cacerts")
        with closing(http.client.HTTPResponse(connection.sock, method="GET")) as answer:
            answer.begin()
            return answer, answer.read()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("truncate", http.client.IncompleteRead | ssl.SSLError),
        ("truncate_quietly", http.client.IncompleteRead),
        ("reset", http.client.RemoteDisconnected | ssl.SSLError),
        ("not_http", http.client.BadStatusLine),
        ("big_header", http.client.LineTooLong),
        ("many_headers", http.client.HTTPException),
        ("length", http.client.IncompleteRead | TimeoutError | ssl.SSLError),
    ],
)
def test_wire_faults_python_notices(server, fault, error):
    server.faults.set(fault, times=1)
    if fault == "length":
        server.faults.close = True
    with pytest.raises(error if isinstance(error, type) else error.__args__):
        over_tls(server)
    server.faults.clear()
    assert over_tls(server)[0].status == 200


@pytest.mark.parametrize(
    "fault", ["chunked", "no_length", "lower_case", "split", "delay", "http10", "interim", "close", "hang_up"]
)
def test_wire_faults_python_bears(server, fault):
    good = over_tls(server)[1]
    server.faults.set(fault, "0.01" if fault == "delay" else "")
    answer, body = over_tls(server)
    assert body == good
    assert (answer.getheader("Transfer-Encoding") == "chunked") == (fault == "chunked")
    assert (answer.getheader("Content-Length") is None) == (fault in ("chunked", "no_length"))
    assert answer.version == (10 if fault == "http10" else 11)


@pytest.mark.parametrize("fault", ["truncate", "reset", "hang_up", "no_length_no_notify"])
def test_a_connection_that_breaks_ends_without_close_notify(server, fault):
    server.faults.set(fault)
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    sock = client_context(server).wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False)
    with sock:
        sock.sendall(b"GET /.well-known/est/csrattrs HTTP/1.1\r\nConnection: close\r\n\r\n")
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            list(iter(lambda: sock.recv(16384), b""))


def test_drip_sends_byte_by_byte(server):
    server.faults.drip = "0.0001"
    sock = client_context(server).wrap_socket(
        socket.create_connection(("127.0.0.1", server.port), timeout=10), server_hostname="localhost"
    )
    with sock:
        sock.sendall(b"GET /.well-known/est/csrattrs HTTP/1.1\r\n\r\n")
        pieces = [sock.recv(16384) for _ in range(18)]
    assert [len(piece) for piece in pieces[1:]] == [1] * 17


GENERATED = {
    "clear_key": ["yes"],
    "other_private_key": ["yes"],
    "key_signer": ["unknown", "device", "expired", "nobody", "wrong"],
    "key_package": ["two", "none", "other"],
    "multipart": list(odd_multipart.VARIANTS),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", GENERATED)
def test_generated_keys(server, fault):
    """The answer is another one, with 200; what each does to a client is in tests/est/test_server_key.py."""
    server.policy.serverkeygen = {"clear", "certificate"}
    for value in GENERATED[fault]:
        server.faults.set(fault, value if value != "yes" else "", times=1)
        response = post(server, make_csr(), operation="serverkeygen")
        assert response.status == 200
        if fault == "multipart":
            honest = dict(response.headers)["Content-Type"].startswith("multipart/mixed; boundary=est-")
            assert not honest, value
            assert server.faults.quiet
        elif fault in ("key_signer", "key_package"):
            assert not server.faults.quiet, "only encrypted keys are signed"
        server.faults.clear()
    with pytest.raises(UnknownFaultError):
        server.faults.set("multipart", "nonsense")


def test_every_fault_is_tested():
    files = (Path(__file__), Path(__file__).with_name("test_waiting_faults.py"))
    text = "".join(file.read_text() for file in files)
    assert [name for name in FAULTS if f'"{name}"' not in text and f"faults.{name} " not in text] == []
