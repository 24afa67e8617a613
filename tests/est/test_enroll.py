"""Enrolment against a scripted server: RFC 7030 sections 3.2.3, 3.5, 4.2; every entry of the bad-input table."""

from __future__ import annotations

import base64
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID

from device_sdk.client.est import Credentials, EstClient
from device_sdk.errors import (
    AuthenticationRequiredError,
    CertificateMismatchError,
    ClockError,
    ConfigurationError,
    DeviceSdkError,
    EnrolmentPendingError,
    HttpStatusError,
    LocalProtocolError,
    RedirectRefusedError,
    RemoteProtocolError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.est.pki import NOW, Ca, certs_only, certs_only_in_order, der, name, new_key, one_line
from tests.est.scripted_server import Reply, Seen, http, pkcs7

SPEC = CsrSpec(subject=name("device 1"))
USER = Credentials("dev", Secret("secret"))
CHALLENGE = ("WWW-Authenticate", 'Basic realm="est"')


def csr_of(seen: Seen) -> bytes:
    return base64.b64decode(seen.body)


def issue(ca: Ca, **options):
    return lambda seen: pkcs7(one_line(certs_only(ca.certify_csr(csr_of(seen), **options))))


def bag(*certificates: x509.Certificate):
    return lambda seen: pkcs7(one_line(certs_only(*certificates)))


def trusting(ca: Ca) -> ServerTrust:
    return ServerTrust(explicit=(ca.certificate,))


@pytest.fixture
def enroll(ca, serve, clock):
    """One enrolment against the given handlers: the result and the server."""

    def run(*, credentials=None, wait_s=None, progress=None, options=None, max_tls_version=None, spec=SPEC, **handlers):
        server = serve(options=options, cacerts=bag(ca.certificate), **handlers)
        run.server = server
        with EstClient(
            server.url, trusting(ca), credentials=credentials, clock=clock, max_tls_version=max_tls_version
        ) as client:
            return client.enroll(new_key(), spec, wait_s=wait_s, progress=progress), server

    return run


def test_est_131_est_170_one_enrolment_is_three_requests_on_one_connection(ca, enroll):
    enrolled, server = enroll(simpleenroll=issue(ca))
    assert server.lines == [
        "GET /.well-known/est/cacerts",
        "GET /.well-known/est/csrattrs",
        "POST /.well-known/est/simpleenroll",
    ]
    assert server.connections == 1
    assert enrolled.certificate.subject == SPEC.subject
    assert enrolled.chain == (enrolled.certificate,)
    assert enrolled.anchor == ca.certificate
    assert enrolled.differences == ()


def test_est_35_est_41_what_is_sent(ca, enroll):
    _, server = enroll(simpleenroll=issue(ca))
    post = server.seen[-1]
    lines = post.body.split(b"\n")
    assert lines[-1] == b""
    assert all(len(line) == 64 for line in lines[:-2])
    assert post.header("Content-Type") == "application/pkcs10"
    assert post.header("Content-Transfer-Encoding") is None
    assert post.header("Authorization") is None
    assert post.header("Expect") is None
    assert x509.load_der_x509_csr(csr_of(post)).is_signature_valid


def test_est_09_label(ca, serve):
    server = serve(cacerts=bag(ca.certificate))
    with EstClient(server.url, trusting(ca), label="lab 1") as client:
        client.cacerts()
    assert server.lines == ["GET /.well-known/est/lab%201/cacerts"]


def test_est_91_est_93_tls_1_2_binding(ca, enroll):
    _, server = enroll(simpleenroll=issue(ca), options={"maximum": ssl.TLSVersion.TLSv1_2})
    post = server.seen[-1]
    attribute = x509.load_der_x509_csr(csr_of(post)).attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD)
    assert attribute.value == base64.b64encode(post.tls_unique)
    assert len(attribute.value) == 16


def test_est_96_after_a_reconnect_the_csr_is_bound_to_the_new_connection(ca, enroll):
    """The server closes after its 202; key and subject stay, the binding does not."""
    enrolled, server = enroll(
        simpleenroll=[
            lambda seen: http(202, b"", ("Retry-After", "2"), ("Connection", "close"), then="close"),
            issue(ca),
        ],
        options={"maximum": ssl.TLSVersion.TLSv1_2},
        wait_s=60,
    )
    first, second = (seen for seen in server.seen if seen.method == "POST")
    assert first.connection != second.connection
    requests = [x509.load_der_x509_csr(csr_of(seen)) for seen in (first, second)]
    assert requests[0].public_key() == requests[1].public_key() == enrolled.certificate.public_key()
    for seen, csr in zip((first, second), requests, strict=True):
        value = csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value
        assert value == base64.b64encode(seen.tls_unique)


def test_est_100_the_connection_of_a_bound_request_is_not_used_again(ca, serve):
    server = serve(cacerts=bag(ca.certificate), simpleenroll=issue(ca), options={"maximum": ssl.TLSVersion.TLSv1_2})
    with EstClient(server.url, trusting(ca)) as client:
        client.enroll(new_key(), SPEC)
        client.enroll(new_key(), SPEC)
    posts = [seen.connection for seen in server.seen if seen.method == "POST"]
    assert posts == [1, 2]


def test_est_83_basic_after_the_challenge_with_the_same_csr(ca, enroll):
    enrolled, server = enroll(simpleenroll=[lambda seen: http(401, b"", CHALLENGE), issue(ca)], credentials=USER)
    first, second = (seen for seen in server.seen if seen.method == "POST")
    assert first.header("Authorization") is None
    assert base64.b64decode(second.header("Authorization").removeprefix("Basic ")) == b"dev:secret"
    assert first.body == second.body
    assert server.connections == 1
    assert enrolled.certificate


def test_est_84_401_without_credentials_closes_the_connection(ca, serve):
    server = serve(cacerts=bag(ca.certificate), simpleenroll=lambda seen: http(401, b"who?", CHALLENGE))
    with EstClient(server.url, trusting(ca)) as client:
        with pytest.raises(AuthenticationRequiredError) as caught:
            client.enroll(new_key(), SPEC)
        client.cacerts()
    assert caught.value.schemes == ("Basic",)
    assert caught.value.server_text == "who?"
    assert [seen.connection for seen in server.seen] == [1, 1, 1, 2]


def test_401_twice(ca, enroll):
    with pytest.raises(AuthenticationRequiredError, match="refused the user name or password") as caught:
        enroll(simpleenroll=lambda seen: http(401, b"", CHALLENGE), credentials=USER)
    assert "secret" not in str(caught.value)
    assert enroll.server.lines.count("POST /.well-known/est/simpleenroll") == 2


def test_digest_is_named_and_not_tried(ca, enroll):
    with pytest.raises(AuthenticationRequiredError) as caught:
        enroll(
            simpleenroll=lambda seen: http(401, b"", ("WWW-Authenticate", 'Digest realm="x", nonce="y"')),
            credentials=USER,
        )
    assert caught.value.schemes == ("Digest",)
    assert enroll.server.lines.count("POST /.well-known/est/simpleenroll") == 1


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 415, 423, 500, 501, 502, 503, 504])
def test_section_11_refusals_carry_what_the_server_said(ca, enroll, status):
    with pytest.raises(HttpStatusError, match="no, thank you") as caught:
        enroll(simpleenroll=lambda seen: http(status, b"no, thank you", ("Content-Type", "text/plain")))
    assert caught.value.status_code == status
    assert caught.value.url.endswith("/.well-known/est/simpleenroll")


def test_html_refusal_is_reduced_to_its_text(ca, enroll):
    page = b"<html><head><title>Forbidden</title></head><body><h1>Nope</h1></body></html>"
    with pytest.raises(HttpStatusError) as caught:
        enroll(simpleenroll=lambda seen: http(403, page, ("Content-Type", "text/html")))
    assert caught.value.server_text == "Forbidden Nope"


@pytest.mark.parametrize(("status", "error"), [(200, ResponseTooLargeError), (500, HttpStatusError)])
def test_est_16_ten_mebibytes_of_noise(ca, enroll, status, error):
    noise = bytes(range(256)) * 40960
    with pytest.raises(error) as caught:
        enroll(simpleenroll=lambda seen: http(status, noise, then="close"))
    assert len(str(caught.value)) < 1000


def test_est_27_redirect_to_the_same_origin(ca, enroll):
    _, server = enroll(simpleenroll=lambda seen: http(307, b"", ("Location", "/elsewhere/enroll")), enroll=issue(ca))
    assert server.lines[-1] == "POST /elsewhere/enroll"
    assert server.connections == 1


@pytest.mark.parametrize("operation", ["cacerts", "simpleenroll"])
def test_est_28_est_29_redirect_to_another_origin_reaches_nobody(ca, serve, operation):
    other = serve(cacerts=bag(ca.certificate), simpleenroll=issue(ca))
    answers = {"cacerts": bag(ca.certificate), operation: lambda seen: http(307, b"", ("Location", f"{other.url}/x"))}
    server = serve(**answers)
    with EstClient(server.url, trusting(ca), credentials=USER) as client, pytest.raises(RedirectRefusedError) as caught:
        client.enroll(new_key(), SPEC)
    assert caught.value.location == f"{other.url}/x"
    assert other.connections == 0


def test_truncated(ca, enroll):
    cut = Reply(b"HTTP/1.1 200 OK\r\nContent-Type: application/pkcs7-mime\r\nContent-Length: 5000\r\n\r\nMIIB", "close")
    with pytest.raises(TruncatedResponseError):
        enroll(simpleenroll=lambda seen: cut)


def test_est_14_close_delimited_needs_close_notify(ca, enroll):
    def answer(then: str):
        return lambda seen: pkcs7(one_line(certs_only(ca.certify_csr(csr_of(seen)))), length=False, then=then)

    assert enroll(simpleenroll=answer("close"))[0].certificate
    with pytest.raises(TruncatedResponseError):
        enroll(simpleenroll=answer("tear"))


def wrapped(data: bytes, columns: int, end: bytes) -> bytes:
    text = base64.b64encode(data)
    return b"".join(text[i : i + columns] + end for i in range(0, len(text), columns))


def pem(der: bytes, label: bytes) -> bytes:
    return b"-----BEGIN " + label + b"-----\n" + wrapped(der, 64, b"\n") + b"-----END " + label + b"-----\n"


def indefinite(der: bytes) -> bytes:
    """The same ContentInfo with indefinite lengths outside: BER, as Bouncy Castle and OpenSSL stream it."""
    assert der[:2] == b"\x30\x82"
    inside = der[4:]
    oid_end = 2 + inside[1]
    explicit = inside[oid_end:]
    assert explicit[:2] == b"\xa0\x82"
    return b"\x30\x80" + inside[:oid_end] + b"\xa0\x80" + explicit[4:] + b"\0\0\0\0"


ENCODINGS = {
    "64 LF": lambda der: wrapped(der, 64, b"\n"),
    "76 CRLF": lambda der: wrapped(der, 76, b"\r\n"),
    "one line": base64.b64encode,
    "one line LF": one_line,
    "with white space": lambda der: b" \t" + wrapped(der, 10, b" \r\n\t"),
    "trailing NUL": lambda der: wrapped(der, 64, b"\n") + b"\0",
    "PEM PKCS7": lambda der: pem(der, b"PKCS7"),
    "PEM CMS": lambda der: pem(der, b"CMS"),
    "DER": lambda der: der,
    "BER": lambda der: one_line(indefinite(der)),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_section_1_body_forms(ca, serve, encoding):
    encode = ENCODINGS[encoding]
    server = serve(
        cacerts=lambda seen: pkcs7(encode(certs_only(ca.certificate))),
        simpleenroll=lambda seen: pkcs7(encode(certs_only(ca.certify_csr(csr_of(seen))))),
    )
    with EstClient(server.url, trusting(ca)) as client:
        assert client.enroll(new_key(), SPEC).anchor == ca.certificate


def test_est_44_certificates_in_an_order_der_does_not_have(ca, serve):
    """Several servers write the SET OF in the order of their list; cryptography would refuse or warn."""
    root, issuing = ca.certificate, ca.issue_ca("Issuing")

    def answer(*certificates):
        return pkcs7(one_line(certs_only_in_order(*sorted(certificates, key=der, reverse=True))))

    server = serve(
        cacerts=lambda seen: answer(root, issuing.certificate),
        simpleenroll=lambda seen: answer(root, issuing.certificate, issuing.certify_csr(csr_of(seen))),
    )
    with EstClient(server.url, trusting(ca)) as client:
        assert len(client.enroll(new_key(), SPEC).chain) == 2


def test_section_1_pem_certificates(ca, enroll):
    def answer(seen: Seen) -> Reply:
        return pkcs7(
            ca.certify_csr(csr_of(seen)).public_bytes(Encoding.PEM) + ca.certificate.public_bytes(Encoding.PEM)
        )

    assert enroll(simpleenroll=answer)[0].certificate


def test_chunked(ca, enroll):
    def answer(seen: Seen) -> Reply:
        body = one_line(certs_only(ca.certify_csr(csr_of(seen))))
        chunks = b"".join(
            b"%x;ext=1\r\n%s\r\n" % (len(body[i : i + 100]), body[i : i + 100]) for i in range(0, len(body), 100)
        )
        head = b"HTTP/1.1 200 OK\r\ncontent-type: APPLICATION/PKCS7-MIME\r\nTransfer-Encoding: chunked\r\nStatus: 200 OK\r\n\r\n"
        return Reply(head + chunks + b"0\r\n\r\n")

    assert enroll(simpleenroll=answer)[0].certificate


def test_foundries_201(ca, enroll):
    def answer(seen: Seen) -> Reply:
        return pkcs7(one_line(certs_only(ca.certify_csr(csr_of(seen)))), status=201)

    assert enroll(simpleenroll=answer)[0].certificate


@pytest.mark.parametrize("body", [b"", b"not base64!", b"AAAA", one_line(certs_only())[:100]])
def test_garbage_with_200(ca, enroll, body):
    with pytest.raises(RemoteProtocolError, match="simpleenroll"):
        enroll(simpleenroll=lambda seen: pkcs7(body))


def test_est_166_text_with_200(ca, enroll):
    with pytest.raises(RemoteProtocolError, match="queued for the operator"):
        enroll(simpleenroll=lambda seen: http(200, b"queued for the operator", ("Content-Type", "text/plain")))


def test_est_138_the_chain_may_be_in_the_answer_in_any_order(ca, enroll):
    issuing = ca.issue_ca("Issuing", path_length=0)

    def answer(seen: Seen) -> Reply:
        leaf = issuing.certify_csr(csr_of(seen))
        blocks = [one.public_bytes(Encoding.PEM) for one in (ca.certificate, issuing.certificate, leaf)]
        return pkcs7(b"".join(blocks))

    enrolled, _ = enroll(simpleenroll=answer)
    assert enrolled.chain == (enrolled.certificate, issuing.certificate)
    assert enrolled.anchor == ca.certificate


def test_est_139_certificate_for_another_key(ca, enroll):
    other = ca.certify("device 1", new_key().public_key())
    with pytest.raises(CertificateMismatchError, match="requested key"):
        enroll(simpleenroll=bag(other))


def test_est_139_certificate_of_another_ca(ca, enroll):
    with pytest.raises(CertificateMismatchError, match="no path to a trust anchor"):
        enroll(simpleenroll=issue(Ca.root("EST root")))


def test_est_139_expired_certificate(ca, enroll):
    with pytest.raises(CertificateMismatchError, match="expired"):
        enroll(simpleenroll=issue(ca, not_after=NOW - timedelta(hours=1)))


def test_est_139_clock_before_not_before(ca, enroll):
    later = NOW + timedelta(hours=3)
    with pytest.raises(ClockError) as caught:
        enroll(simpleenroll=issue(ca, not_before=later))
    assert caught.value.not_before == f"{later:%Y-%m-%dT%H:%M:%SZ}"
    assert caught.value.not_before in str(caught.value)
    assert caught.value.now in str(caught.value)


def test_est_139_a_minute_of_skew_is_fine(ca, enroll):
    assert enroll(simpleenroll=issue(ca, not_before=NOW + timedelta(minutes=3)))[0].certificate


def test_est_139_another_subject_is_reported(ca, enroll):
    def answer(seen: Seen) -> Reply:
        public_key = x509.load_der_x509_csr(csr_of(seen)).public_key()
        return pkcs7(one_line(certs_only(ca.certify("somebody else", public_key))))

    spec = CsrSpec(subject=name("device 1"), san=(x509.DNSName("device.example"),))
    enrolled, _ = enroll(simpleenroll=answer, spec=spec)
    assert len(enrolled.differences) == 2
    assert "somebody else" in enrolled.differences[0]
    assert "device.example" in enrolled.differences[1]


def test_est_161_pending_is_an_error_unless_told_to_wait(ca, enroll, clock):
    with pytest.raises(EnrolmentPendingError, match="tomorrow, maybe") as caught:
        enroll(simpleenroll=lambda seen: http(202, b"tomorrow, maybe", ("Retry-After", "600")))
    assert caught.value.retry_after_s == 600
    assert clock.slept == []


def test_est_162_est_164_waiting_with_both_forms_of_retry_after(ca, enroll, clock):
    date = (clock.now() + timedelta(seconds=20)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    told = []
    enrolled, server = enroll(
        simpleenroll=[
            lambda seen: http(202, b"", ("Retry-After", "5")),
            lambda seen: http(202, b"", ("Retry-After", date)),
            lambda seen: http(202),
            issue(ca),
        ],
        wait_s=300,
        progress=told.append,
    )
    assert clock.slept[0] == 5
    assert 10 < clock.slept[1] <= 20
    assert clock.slept[2] == 60
    assert len(told) == 3
    keys = [x509.load_der_x509_csr(csr_of(seen)).public_key() for seen in server.seen if seen.method == "POST"]
    assert keys == [enrolled.certificate.public_key()] * 4


def test_est_162_total_deadline(ca, enroll, clock):
    with pytest.raises(EnrolmentPendingError):
        enroll(simpleenroll=lambda seen: http(202, b"", ("Retry-After", "40")), wait_s=100)
    assert clock.slept == [40, 40]


def test_est_162_retry_after_0_does_not_spin(ca, enroll, clock):
    with pytest.raises(EnrolmentPendingError):
        enroll(simpleenroll=lambda seen: http(202, b"", ("Retry-After", "0")), wait_s=5)
    assert clock.slept == [1, 1, 1, 1]


def test_est_92_binding_wanted_and_none_to_give(ca, serve, monkeypatch):
    """The request is refused here before anything of it is sent."""
    from device_sdk.client.est import csr_body

    monkeypatch.setattr(csr_body, "channel_binding", lambda facts: None)
    wants = base64.b64encode(bytes.fromhex("300b06092a864886f70d010907"))
    server = serve(
        cacerts=bag(ca.certificate),
        csrattrs=lambda seen: http(200, wants, ("Content-Type", "application/csrattrs")),
    )
    with (
        EstClient(server.url, trusting(ca)) as client,
        pytest.raises(LocalProtocolError, match="bound to the connection"),
    ):
        client.enroll(new_key(), SPEC)
    assert not any(line.startswith("POST") for line in server.lines)


def test_nothing_to_trust():
    with pytest.raises(ConfigurationError, match="bootstrap"):
        EstClient("https://est.example", ServerTrust())


def test_every_error_is_ours(ca, enroll):
    """A server that answers with something that is no HTTP at all."""
    with pytest.raises(DeviceSdkError):
        enroll(simpleenroll=lambda seen: Reply(b"SSH-2.0-OpenSSH_9.2\r\n", "close"))
