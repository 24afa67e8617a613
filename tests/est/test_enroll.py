"""Enrolment against a scripted server: RFC 7030 sections 3.2.1, 3.2.3, 3.5 and 4.2.1."""

from __future__ import annotations

import base64
import ssl

import pytest
from cryptography import x509
from cryptography.x509.oid import AttributeOID
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc2986, rfc5652

from device_sdk.client.est import Credentials, EstClient
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.errors import (
    AuthenticationRequiredError,
    ConfigurationError,
    EnrolmentPendingError,
    HttpStatusError,
    LocalProtocolError,
    RedirectRefusedError,
    RemoteProtocolError,
)
from device_sdk.model.http import ConnectionFacts
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.wire.csrattrs import CsrAttributes
from tests.est.answers import SPEC, bag, csr_of, issue, trusting
from tests.est.pki import new_key
from tests.est.scripted_server import http, pkcs7

USER = Credentials("dev", Secret("secret"))
CHALLENGE = ("WWW-Authenticate", 'Basic realm="est"')


def test_est_131_est_170_one_enrolment_is_three_requests_on_one_connection(ca, enroll):
    """EST-04: the CA bag is read, a Simple PKI Request written, its answer read."""
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
    """EST-15 besides: nothing is expected before the body."""
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


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll", "serverkeygen", "fullcmc"])
def test_est_42_requests_are_never_armoured(ca, serve, operation):
    """EST-40: base64 of one DER object and line ends, nothing else; what the server makes of it does not matter here."""
    key = new_key()
    server = serve(cacerts=bag(ca.certificate))
    identity = TlsIdentity((ca.certify(SPEC.subject, key.public_key()),), key)
    with EstClient(server.url, trusting(ca), identity=identity) as client:
        send = {
            "simpleenroll": lambda: client.enroll(new_key(), SPEC),
            "simplereenroll": lambda: client.reenroll(new_key()),
            "serverkeygen": lambda: client.serverkeygen(SPEC, allow_clear=True),
            "fullcmc": lambda: client.fullcmc.enroll(new_key(), SPEC),
        }[operation]
        with pytest.raises(HttpStatusError):
            send()
    (post,) = (seen for seen in server.seen if seen.method == "POST")
    assert post.target.endswith(operation)
    der = base64.b64decode(post.body.replace(b"\n", b""), validate=True)
    if operation == "fullcmc":
        der = bytes(decode(der, asn1Spec=rfc5652.ContentInfo())[0]["content"])
    kind = rfc5652.SignedData() if operation == "fullcmc" else rfc2986.CertificationRequest()
    found, rest = decode(der, asn1Spec=kind)
    assert (encode(found), rest) == (der, b"")


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


AGAIN = {
    "202": (202, ("Retry-After", "2")),
    "401": (401, CHALLENGE),
    "307": (307, ("Location", "/.well-known/est/simpleenroll?again")),
}


@pytest.mark.parametrize("status", AGAIN)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_est_96_after_a_reconnect_the_csr_is_bound_to_the_new_connection(ca, enroll, status, version):
    """EST-30, EST-96: the server closes after its 202, 401 or redirect; key and subject stay, the binding does not."""
    code, header = AGAIN[status]
    enrolled, server = enroll(
        simpleenroll=[lambda seen: http(code, b"", header, ("Connection", "close"), then="close"), issue(ca)],
        options={"maximum": version},
        credentials=USER,
        wait_s=60,
        **{"simpleenroll?again": issue(ca)},
    )
    first, second = (seen for seen in server.seen if seen.method == "POST")
    assert first.connection != second.connection
    requests = [x509.load_der_x509_csr(csr_of(seen)) for seen in (first, second)]
    assert requests[0].public_key() == requests[1].public_key() == enrolled.certificate.public_key()
    values = [csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value for csr in requests]
    assert values[0] != values[1]
    if version == ssl.TLSVersion.TLSv1_2:
        assert values == [base64.b64encode(seen.tls_unique) for seen in (first, second)]


def test_est_100_the_connection_of_a_bound_request_is_not_used_again(ca, serve):
    """EST-12: the client decides when a connection has carried enough."""
    server = serve(cacerts=bag(ca.certificate), simpleenroll=issue(ca), options={"maximum": ssl.TLSVersion.TLSv1_2})
    with EstClient(server.url, trusting(ca)) as client:
        client.enroll(new_key(), SPEC)
        client.enroll(new_key(), SPEC)
    posts = [seen.connection for seen in server.seen if seen.method == "POST"]
    assert posts == [1, 2]


@pytest.mark.parametrize("refusal", [http(403), pkcs7(b"*"), http(202)], ids=["refused", "unreadable", "undecided"])
def test_est_100_neither_is_that_of_a_request_without_a_certificate(ca, serve, refusal):
    server = serve(cacerts=bag(ca.certificate), simpleenroll=[lambda _seen: refusal, issue(ca)])
    with EstClient(server.url, trusting(ca)) as client:
        with pytest.raises((HttpStatusError, RemoteProtocolError, EnrolmentPendingError)):
            client.enroll(new_key(), SPEC)
        client.enroll(new_key(), SPEC)
    posts = [seen.connection for seen in server.seen if seen.method == "POST"]
    assert posts == [1, 2]


def test_est_83_basic_after_the_challenge_with_the_same_csr(ca, enroll):
    """EST-22: a client without a certificate."""
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


def test_est_27_redirect_to_the_same_origin(ca, enroll):
    _, server = enroll(simpleenroll=lambda seen: http(307, b"", ("Location", "/elsewhere/enroll")), enroll=issue(ca))
    assert server.lines[-1] == "POST /elsewhere/enroll"
    assert server.connections == 1


def test_est_28_est_29_redirect_to_another_origin_reaches_nobody(ca, serve):
    other = serve(x=issue(ca))
    server = serve(
        cacerts=bag(ca.certificate), simpleenroll=lambda seen: http(307, b"", ("Location", f"{other.url}/x"))
    )
    with EstClient(server.url, trusting(ca), credentials=USER) as client, pytest.raises(RedirectRefusedError) as caught:
        client.enroll(new_key(), SPEC)
    assert caught.value.location == f"{other.url}/x"
    assert other.connections == 0


def test_est_92_binding_wanted_and_none_to_give():
    wishes = CsrAttributes.from_bytes(bytes.fromhex("300b06092a864886f70d010907"))
    body = CsrBody(new_key(), SPEC, wishes)
    with pytest.raises(LocalProtocolError, match="bound to the connection"):
        body(ConnectionFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256"))


def test_nothing_to_trust():
    """EST-112."""
    with pytest.raises(ConfigurationError, match="bootstrap"):
        EstClient("https://est.example", ServerTrust())
