"""What comes of an enrolment: the certificate's checks (EST-138, EST-139) and waiting (EST-161 to EST-164)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import permutations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import CertificateMismatchError, ClockError, EnrolmentPendingError
from device_sdk.model.csr import CsrSpec
from device_sdk.protocols.est.issued import Enrolled, check_issued
from device_sdk.wire.csr import build_csr
from tests.est.answers import bag, csr_of, issue
from tests.est.pki import DAY, NOW, Ca, certs_only, make, name, new_key, one_line
from tests.est.scripted_server import Reply, Seen, http, pkcs7


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


CLIENT, SERVER = x509.ExtendedKeyUsageOID.CLIENT_AUTH, x509.ExtendedKeyUsageOID.SERVER_AUTH


@pytest.mark.parametrize(
    ("given", "difference"),
    [
        (None, ["extension 2.5.29.37 is missing"]),
        ([CLIENT], ["extension 2.5.29.37 has another value than the one asked for"]),
        ([SERVER, CLIENT], []),
    ],
    ids=["none", "another", "the same in another order"],
)
def test_est_139_another_extension_is_reported(ca, enroll, given, difference):
    def answer(seen: Seen) -> Reply:
        public_key = x509.load_der_x509_csr(csr_of(seen)).public_key()
        extensions = [(x509.ExtendedKeyUsage(given), False)] if given else []
        return pkcs7(one_line(certs_only(ca.certify("device 1", public_key, extensions=extensions))))

    usage = x509.ExtendedKeyUsage([CLIENT, SERVER])
    spec = CsrSpec(subject=name("device 1"), extensions=(x509.Extension(usage.oid, False, usage),))
    enrolled, _ = enroll(simpleenroll=answer, spec=spec)
    assert list(enrolled.differences) == difference


def test_est_139_a_name_that_was_added_is_reported(ca, enroll):
    def answer(seen: Seen) -> Reply:
        public_key = x509.load_der_x509_csr(csr_of(seen)).public_key()
        names = x509.SubjectAlternativeName([x509.DNSName("device.example"), x509.DNSName("more.example")])
        return pkcs7(one_line(certs_only(ca.certify("device 1", public_key, extensions=[(names, False)]))))

    spec = CsrSpec(subject=name("device 1"), san=(x509.DNSName("device.example"),))
    enrolled, _ = enroll(simpleenroll=answer, spec=spec)
    (difference,) = enrolled.differences
    assert difference.startswith("subjectAltName: ")
    assert "more.example" in difference
    assert difference.endswith(" was added")


def _checked(answer: Iterable[x509.Certificate], key, anchors: tuple[x509.Certificate, ...]) -> Enrolled:
    csr = x509.load_der_x509_csr(build_csr(CsrSpec(subject=name("device 1")), key))
    return check_issued(answer, csr, anchors=anchors, intermediates=(), now=NOW)


def test_est_139_the_newest_certificate_for_the_key_is_taken(ca):
    """Wherever it is in the answer: after a renewal with the same key the old ones may be there, too."""
    key = new_key()
    ages = [ca.certify("device 1", key.public_key(), not_before=NOW - days * DAY) for days in (3, 1, 2)]
    for answer in permutations(ages):
        assert _checked(answer, key, (ca.certificate,)).certificate == ages[1]


def test_est_139_an_anchor_is_not_taken_as_issued():
    """A certificate that is trusted already proves nothing about who issued it."""
    key = new_key()
    own = make(name("device 1"), key.public_key(), name("device 1"), key)
    with pytest.raises(CertificateMismatchError, match="itself a trust anchor"):
        _checked([own], key, (own,))


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
