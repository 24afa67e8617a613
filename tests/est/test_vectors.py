"""The printed samples of RFC 7030 Appendix A, through the readers and the checks (spec section 19, EST-126)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from device_sdk.errors import CertificateMismatchError, RemoteProtocolError
from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.protocols.est.ca_certificates import check_ca_certificates
from device_sdk.protocols.est.issued import check_issued
from device_sdk.protocols.est.responses import read_cacerts, read_csrattrs, read_enrolment

SAMPLES = Path(__file__).parent.parent / "vectors" / "est" / "rfc7030"
THEN = datetime(2013, 5, 10, 12, 0, 0, tzinfo=UTC)


def answer(file: str, media: str = "application/pkcs7-mime") -> HttpResponse:
    facts = ConnectionFacts("TLSv1.2", "ECDHE-RSA-AES256-SHA")
    headers = (("Status", "200 OK"), ("Content-Type", media), ("Content-Transfer-Encoding", "base64"))
    return HttpResponse(200, headers, (SAMPLES / file).read_bytes(), "https://est.example/x", facts)


@pytest.fixture
def bag() -> dict[str, x509.Certificate]:
    found = read_cacerts(answer("a1-cacerts.p7.b64"), THEN)
    return {one.subject.rfc4514_string().removeprefix("CN=estExampleCA "): one for one in found}


def test_a1_four_certificates(bag):
    assert set(bag) == {"OwO", "OwN", "NwO", "NwN"}


@pytest.mark.parametrize("trusted", ["OwO", "NwN"])
def test_est_126_the_sample_bag_is_never_trusted_as_a_whole(bag, trusted):
    """Its names all differ, its cross certificates are no CA certificates, and everything is signed with SHA-1."""
    result = check_ca_certificates(bag.values(), [bag[trusted]], THEN)
    assert result.anchors == (bag[trusted],)
    assert result.intermediates == ()
    assert len(result.ignored) == 3


def test_est_126_without_an_anchor_nothing_is_trusted(bag):
    with pytest.raises(RemoteProtocolError, match="no self-signed CA certificate"):
        check_ca_certificates(bag.values(), [], THEN)


def test_a2_csr_attributes():
    wishes = read_csrattrs(answer("a2-csrattrs.b64", "application/csrattrs"), THEN)
    assert wishes.wants_binding
    assert wishes.wants_mac


def test_a3_enrolment(bag):
    """The right key and the right time, but SHA-1 makes no path any more; the message says so."""
    csr = x509.load_pem_x509_csr((SAMPLES / "a3-simpleenroll.csr.pem").read_bytes())
    certificates = read_enrolment(answer("a3-simpleenroll-response.p7.b64"), THEN)
    assert [one.serial_number for one in certificates] == [0x15]
    options = {"intermediates": bag.values(), "anchors": [bag["NwN"]]}
    with pytest.raises(CertificateMismatchError, match="signed with sha1"):
        check_issued(certificates, csr, now=THEN, **options)
    with pytest.raises(CertificateMismatchError, match="signed with sha1"):  # which no clock would mend
        check_issued(certificates, csr, now=datetime(1970, 1, 1, tzinfo=UTC), **options)
    with pytest.raises(CertificateMismatchError, match="expired"):
        check_issued(certificates, csr, now=THEN + timedelta(days=400), **options)


def test_a4_certificate_for_another_key(bag):
    csr = x509.load_pem_x509_csr((SAMPLES / "a3-simpleenroll.csr.pem").read_bytes())
    certificates = read_enrolment(answer("a4-serverkeygen-response-cert.p7.b64"), THEN)
    with pytest.raises(CertificateMismatchError, match="serverside key generated response"):
        check_issued(certificates, csr, intermediates=(), anchors=[bag["NwN"]], now=THEN)
