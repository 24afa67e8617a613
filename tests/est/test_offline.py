"""Requests and answers carried by hand: the checks are those of a connection, but for the connection."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AttributeOID

from device_sdk.client.est.offline import OfflineEst
from device_sdk.errors import (
    AuthenticationRequiredError,
    CertificateMismatchError,
    ClockError,
    ConfigurationError,
    DeviceSdkError,
    EnrolmentPendingError,
    FingerprintMismatchError,
    HttpStatusError,
    RemoteProtocolError,
    TruncatedResponseError,
    VerificationError,
)
from device_sdk.model.csr import CsrSpec
from device_sdk.model.trust import Pin
from device_sdk.protocols.est.saved_answer import read_saved_answer
from tests.est.answers import SPEC
from tests.est.pki import NOW, Ca, certs_only, der, name, new_key, one_line

URL = "https://est.example:8443"


@pytest.fixture
def est(clock) -> OfflineEst:
    return OfflineEst(URL, label="lab 1", clock=clock)


def csr_in(request) -> bytes:
    return base64.b64decode(request.body)


def test_est_130_est_41_the_request_is_the_one_that_would_be_sent(est):
    key = new_key()
    request = est.enrolment_request(key, SPEC)
    data = json.loads(request.to_bytes())
    assert data["format"] == "device-sdk/est-request"
    assert (data["method"], data["url"]) == ("POST", f"{URL}/.well-known/est/lab%201/simpleenroll")
    assert data["headers"]["Content-Type"] == "application/pkcs10"
    assert data["body"].encode() == request.body
    assert all(len(line) <= 64 for line in data["body"].split("\n"))
    csr = x509.load_der_x509_csr(base64.b64decode(data["body"]))
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert csr.subject == SPEC.subject
    assert data["spki_sha256"]
    assert "PRIVATE" not in request.to_bytes().decode()


def test_there_is_no_binding_and_the_file_says_so(est):
    request = est.enrolment_request(new_key(), SPEC)
    assert json.loads(request.to_bytes())["channel_binding"] is None
    csr = x509.load_der_x509_csr(csr_in(request))
    with pytest.raises(x509.AttributeNotFound):
        csr.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD)


def http(body: bytes, status: str = "HTTP/1.1 200 OK", *lines: str, end: str = "\r\n") -> bytes:
    return end.join((status, *lines)).encode() + end.encode() * 2 + body


FORMS = {
    "base64": one_line,
    "der": lambda data: data,
    "pem": lambda data: b"-----BEGIN PKCS7-----\n" + base64.encodebytes(data) + b"-----END PKCS7-----\n",
    "curl -i": lambda data: http(one_line(data), "HTTP/1.1 200 OK", f"Content-Length: {len(one_line(data))}"),
    "curl -i, HTTP/2": lambda data: http(one_line(data), "HTTP/2 200", "content-type: application/pkcs7-mime"),
    "unix lines": lambda data: http(one_line(data), end="\n"),
    "after a 401 and a proxy": lambda data: (
        http(b"", "HTTP/1.0 200 Connection established")
        + http(b"", "HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic")
        + http(one_line(data))
    ),
    "chunked": lambda data: http(
        b"".join(b"%x;x=y\r\n%s\r\n" % (len(part), part) for part in (one_line(data)[:40], one_line(data)[40:]))
        + b"0\r\n\r\n",
        "HTTP/1.1 200 OK",
        "Transfer-Encoding: chunked",
    ),
    "chunked, undone": lambda data: http(one_line(data), "HTTP/1.1 200 OK", "Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("form", FORMS)
def test_est_138_every_form_of_an_answer(est, ca, form):
    key = new_key()
    certificate = ca.certify_csr(csr_in(est.enrolment_request(key, SPEC)))
    answer = FORMS[form](certs_only(certificate))
    enrolled = est.read_enrolment(answer, key, SPEC, anchors=[ca.certificate])
    assert enrolled.certificate == certificate
    assert enrolled.anchor == ca.certificate
    assert enrolled.differences == ()


def answers(ca, est, key, **options) -> bytes:
    return one_line(certs_only(ca.certify_csr(csr_in(est.enrolment_request(key, SPEC)), **options)))


@pytest.mark.parametrize("status", ["\xb2\xb2\xb2", "20", "2000", "-20", " 200", "2 0", ""])
def test_rfc_9112_a_status_has_three_ascii_digits(est, ca, status):
    saved = f"HTTP/1.1 {status} OK\r\n\r\n".encode("latin-1")
    with pytest.raises(RemoteProtocolError, match="no status line"):
        est.read_enrolment(saved, new_key(), SPEC, anchors=[ca.certificate])


def test_est_139_the_answer_to_another_request(est, ca):
    """The stick of the station has many files: the key tells which belongs to which."""
    key = new_key()
    with pytest.raises(CertificateMismatchError, match="requested key"):
        est.read_enrolment(answers(ca, est, new_key()), key, SPEC, anchors=[ca.certificate])


def test_est_139_another_ca(est, ca):
    key = new_key()
    with pytest.raises(CertificateMismatchError, match="no path"):
        est.read_enrolment(answers(Ca.root("EST root"), est, key), key, SPEC, anchors=[ca.certificate])


def test_est_139_dates(est, ca):
    key = new_key()
    with pytest.raises(CertificateMismatchError, match="expired") as expired:
        est.read_enrolment(
            answers(ca, est, key, not_after=NOW - timedelta(hours=1)), key, SPEC, anchors=[ca.certificate]
        )
    assert "clock says" in expired.value.hint
    assert "root" not in expired.value.hint
    early = answers(ca, est, key, not_before=NOW + timedelta(days=1))
    with pytest.raises(ClockError) as caught:
        est.read_enrolment(early, key, SPEC, anchors=[ca.certificate])
    assert x509.load_pem_x509_certificate(caught.value.pem.encode()).public_key() == key.public_key()


def test_est_139_differences_are_told(est, ca):
    key = new_key()
    other = one_line(certs_only(ca.certify("somebody else", key.public_key())))
    assert est.read_enrolment(other, key, SPEC, anchors=[ca.certificate]).differences


def test_intermediates_of_the_anchors_file_are_no_anchors(est, ca):
    issuing = ca.issue_ca("Issuing")
    key = new_key()
    answer = answers(issuing, est, key)
    enrolled = est.read_enrolment(answer, key, SPEC, anchors=[ca.certificate, issuing.certificate])
    assert enrolled.chain == (enrolled.certificate, issuing.certificate)
    assert enrolled.anchor == ca.certificate
    with pytest.raises(CertificateMismatchError) as caught:
        est.read_enrolment(answer, key, SPEC, anchors=[ca.certificate])
    assert caught.value.hint.startswith("CN=Issuing is missing")
    assert "`est cacerts`" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", RemoteProtocolError),
        (b" \n", RemoteProtocolError),
        (b"not a certificate", RemoteProtocolError),
        (one_line(certs_only()), RemoteProtocolError),
        (b"x" * 2_000_000, RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\n", TruncatedResponseError),
        (b"HTTP/9 200 OK\r\n\r\n", RemoteProtocolError),
        (b"HTTP/1.1 xx OK\r\n\r\n", RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\n\r\n" * 9, RemoteProtocolError),
        (http(b"abc", "HTTP/1.1 200 OK", "Content-Length: 100"), TruncatedResponseError),
        (http(b"<html>", "HTTP/1.1 200 OK", "Content-Type: text/html"), RemoteProtocolError),
        (http(b"no", "HTTP/1.1 403 Forbidden", "Content-Type: text/plain"), HttpStatusError),
        (http(b"", "HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic"), AuthenticationRequiredError),
        (http(b"", "HTTP/1.1 202 Accepted", "Retry-After: 60"), EnrolmentPendingError),
        (http(b"-1\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), RemoteProtocolError),
        (http(b"ffffffff\r\nabc", "HTTP/1.1 200 OK", "Transfer-Encoding: chunked"), RemoteProtocolError),
    ],
)
def test_est_166_answers_that_are_none(est, ca, answer, error):
    with pytest.raises(error) as caught:
        est.read_enrolment(answer, new_key(), SPEC, anchors=[ca.certificate])
    assert f"{URL}/.well-known/est/lab%201/simpleenroll" in str(caught.value)


def test_no_answer_makes_anything_but_an_error_of_the_sdk(est, ca):
    """Every cut and every changed byte of a good answer."""
    key = new_key()
    good = FORMS["curl -i"](certs_only(ca.certify_csr(csr_in(est.enrolment_request(key, SPEC)))))
    for position in range(0, len(good), 7):
        for bad in (good[:position], good[:position] + bytes([good[position] ^ 0x41]) + good[position + 1 :]):
            try:
                found = est.read_enrolment(bad, key, SPEC, anchors=[ca.certificate])
            except DeviceSdkError:
                continue
            assert found.certificate.public_key() == key.public_key()


def test_est_76_est_117_cacerts_by_pin(est, ca):
    issuing = ca.issue_ca("Issuing")
    unrelated = Ca.root("Unrelated")
    bag = one_line(certs_only(ca.certificate, issuing.certificate, unrelated.certificate))
    pin = Pin("sha256", ca.certificate.fingerprint(hashes.SHA256()))
    found = est.read_cacerts(bag, pins=[pin])
    assert found.anchors == (ca.certificate,)
    assert found.intermediates == (issuing.certificate,)
    assert [ignored.certificate for ignored in found.ignored] == [unrelated.certificate]
    with pytest.raises(FingerprintMismatchError):
        est.read_cacerts(bag, pins=[Pin("sha256", bytes(32))])


def test_est_45_est_122_cacerts_by_anchors(est, ca):
    unrelated = Ca.root("Unrelated")
    bag = one_line(certs_only(unrelated.certificate))
    with pytest.raises(VerificationError, match="is an anchor, or leads to one"):
        est.read_cacerts(bag, anchors=[ca.certificate])
    for ours in (ca.certificate, ca.issue_ca("Issuing").certificate):
        mixed = one_line(certs_only(unrelated.certificate, ours))
        assert est.read_cacerts(mixed, anchors=[ca.certificate]).anchors == (ca.certificate,)
    with pytest.raises(ConfigurationError):
        est.read_cacerts(bag)


def test_est_150_a_renewal_keeps_the_names(est, ca):
    key = new_key()
    names = (x509.SubjectAlternativeName([x509.DNSName("device.example")]), False)
    current = ca.certify("device 1", key.public_key(), extensions=[names])
    new = new_key()
    request = est.renewal_request(new, current, CsrSpec(name("ignored")))
    csr = x509.load_der_x509_csr(csr_in(request))
    assert request.url.endswith("/simplereenroll")
    assert csr.subject.public_bytes() == current.subject.public_bytes()
    assert csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value == names[0]
    answer = one_line(certs_only(current, ca.certify_csr(csr_in(request))))
    renewed = est.read_enrolment(answer, new, current, anchors=[ca.certificate], renewal=True)
    assert renewed.certificate.public_key() == new.public_key()
    assert renewed.differences == ()


def test_a_body_alone_is_a_200():
    response = read_saved_answer(b"x", URL)
    assert (response.status_code, response.headers, response.body) == (200, (), b"x")


def test_files_that_are_taken_for_the_answer_now_and_then(est):
    key = new_key()
    request = est.enrolment_request(key, SPEC).to_bytes()
    with pytest.raises(ConfigurationError, match="is the request, not the server's answer"):
        est.read_enrolment(request, key, SPEC, anchors=[])
    with pytest.raises(RemoteProtocolError, match="an HTML page"):
        read_saved_answer(b"\n<!DOCTYPE html><html>", URL)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_the_editors(est, ca, encoding):
    key = new_key()
    answer = answers(ca, est, key).decode("ascii").encode(encoding)
    assert est.read_enrolment(answer, key, SPEC, anchors=[ca.certificate]).certificate.public_key() == key.public_key()


def test_der_is_never_taken_for_http(ca):
    data = certs_only(ca.certificate)
    assert read_saved_answer(data, URL).body == data
    assert der(ca.certificate) in data
