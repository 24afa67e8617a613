"""A renewal whose answer was lost is finished with the result the server kept (RFC 8295 section 9; N-02, N-03, AMB-24)."""

from __future__ import annotations

import pytest
from cryptography import x509
from device_sdk_simulators.cmc.answer import Answer, Status

from device_sdk.client.device.sync import StepState
from device_sdk.client.est import EstClient
from device_sdk.client.est.result import LostRequest
from device_sdk.errors import (
    CertificateMismatchError,
    CmcRefusedError,
    CmcUntrustedError,
    ConfigurationError,
    HttpStatusError,
    TransportError,
)
from device_sdk.model.csr import CsrSpec
from tests.est.answers import bag, csr_of, trusting
from tests.est.full_cmc_answers import CmcServer, cmc
from tests.est.pki import Ca, certs_only, new_key, one_line
from tests.est.scripted_server import Reply, http, pkcs7

DONE, SKIPPED, FAILED, PENDING = StepState.DONE, StepState.SKIPPED, StepState.FAILED, StepState.PENDING
RESULT, REFUSED, DUE = ("0011", "simplereenroll", 0), ("0012", "simplereenroll", 0), ("0010", "simplereenroll", 0)


@pytest.fixture
def lost(synced):
    """A device that sent a renewal and never saw the answer; the server keeps it: `lost.kept` is what it gives."""

    def answer(seen):
        if seen.line.startswith("GET"):
            return synced.kept
        csr = synced.request = x509.load_der_x509_csr(csr_of(seen))
        synced.kept = synced.certified(csr.public_key())
        return Reply(b"", "close")

    def certified(key, issuer=None):
        issued = (issuer or synced.ca).certify(synced.certificate.subject, key)
        return pkcs7(one_line(certs_only(issued)))

    synced.kept, synced.certified = http(404), certified
    synced.server.handlers["simplereenroll"] = answer
    with pytest.raises(TransportError):
        synced.device.renew()
    assert synced.device.certificate == synced.certificate
    synced.asked()
    synced.entries = [RESULT]
    return synced


def test_n_02_n_03_the_result_is_fetched_and_put_into_use(lost):
    """By GET alone, over connections in which both sides are authenticated anew; for the key that was made then."""
    connections = lost.server.connections
    assert lost.outcomes() == [("0011", DONE)]
    assert [line for line in lost.asked() if "enroll" in line] == ["GET simplereenroll"]
    assert lost.server.connections > connections
    assert lost.device.certificate.public_key() == lost.request.public_key()
    assert lost.device.state.journal() is None
    assert lost.device.state.check() == ()
    lost.device.key().close()


def test_n_03_what_is_due_and_has_a_result_is_not_asked_for_again(lost):
    lost.entries = [DUE, RESULT]
    assert lost.outcomes() == [("0011", DONE), ("0010", DONE)]
    assert [line for line in lost.asked() if "enroll" in line] == ["GET simplereenroll"]


def test_amb_12_a_result_at_a_place_of_its_own(lost):
    """Below the operation, where a list may lead for the request, too."""
    lost.server.handlers["r-1"] = lost.server.handlers["simplereenroll"]
    lost.entries = [("0011", "simplereenroll/r-1", 0)]
    assert lost.outcomes() == [("0011", DONE)]
    assert [line for line in lost.asked() if "enroll" in line] == ["GET simplereenroll/r-1"]
    assert lost.device.certificate.public_key() == lost.request.public_key()


@pytest.fixture
def by_cmc(lost):
    """The server tells what became of it at /fullcmc; `says` is what it says there."""
    lost.speaker = CmcServer(lost.ca)

    def says(*statuses, status=200, **options):
        answer = Answer(statuses=list(statuses or [Status(0, (1,))]))
        answer.certificates = (
            [lost.ca.certify(lost.certificate.subject, lost.request.public_key())] if status == 200 else []
        )
        reply = cmc(lost.speaker.message(answer, **options), status)
        lost.server.handlers["fullcmc"] = lambda _: reply

    lost.says = says
    lost.entries = [("0011", "fullcmc", 0)]
    return lost


def test_n_03_the_result_is_at_full_cmc(by_cmc):
    """Certificates alone, or a PKI Response that is signed by who may; nobody has the nonce of the request any more."""
    by_cmc.says(signer=by_cmc.speaker.device(by_cmc.ca))
    assert isinstance(by_cmc.result(by_cmc.device.sync(), "0011").error, CmcUntrustedError)
    by_cmc.says(Status(3, (1,), pend_token=b"t"))
    report = by_cmc.device.sync()
    assert (by_cmc.outcomes(report), report.pending) == ([("0011", PENDING)], True)
    by_cmc.says(Status(2, (1,), "no", fail_info=2), status=403)
    error = by_cmc.result(by_cmc.device.sync(), "0011").error
    assert isinstance(error, CmcRefusedError)
    by_cmc.says(Status(5, (1,)))
    assert "accepted, by a message" in by_cmc.result(by_cmc.device.sync(), "0011").error.message
    assert by_cmc.device.certificate == by_cmc.certificate
    by_cmc.says()
    by_cmc.asked()
    assert by_cmc.outcomes() == [("0011", DONE)]
    assert [line for line in by_cmc.asked() if "fullcmc" in line] == ["GET fullcmc"]
    assert by_cmc.device.certificate.public_key() == by_cmc.request.public_key()


def test_n_03_certificates_alone_at_full_cmc(by_cmc):
    stranger = by_cmc.certified(new_key().public_key())
    by_cmc.server.handlers["fullcmc"] = lambda _: stranger
    assert isinstance(by_cmc.result(by_cmc.device.sync(), "0011").error, CertificateMismatchError)
    by_cmc.server.handlers["fullcmc"] = lambda _: by_cmc.kept
    assert by_cmc.outcomes() == [("0011", DONE)]
    assert by_cmc.device.certificate.public_key() == by_cmc.request.public_key()


@pytest.mark.parametrize("status", [204, 404])
def test_amb_24_nothing_there(lost, status):
    lost.kept = http(status)
    assert lost.outcomes() == [("0011", SKIPPED)]
    assert lost.device.state.journal() is not None, "the next renewal goes on with the same key"


def test_amb_24_not_decided_yet(lost):
    lost.kept = http(202, b"", ("Retry-After", "60"))
    report = lost.device.sync()
    assert (lost.outcomes(report), report.pending) == ([("0011", PENDING)], True)


def test_n_03_a_request_that_was_refused(lost):
    """The server's word is told; the old pair stays in use."""
    lost.kept = http(403, b"no more of these", ("Content-Type", "text/plain"))
    lost.entries = [REFUSED]
    report = lost.device.sync()
    assert lost.outcomes(report) == [("0012", FAILED)]
    error = lost.result(report, "0012").error
    assert isinstance(error, HttpStatusError)
    assert error.server_text == "no more of these"
    assert lost.device.certificate == lost.certificate


@pytest.mark.parametrize("wrong", ["another key", "another CA", "the old one"])
def test_n_03_a_result_is_checked_as_an_answer_would_be(lost, wrong):
    if wrong == "the old one":
        lost.kept = pkcs7(one_line(certs_only(lost.certificate)))
    else:
        key = new_key().public_key() if wrong == "another key" else lost.request.public_key()
        lost.kept = lost.certified(key, Ca.root("Stranger") if wrong == "another CA" else None)
    report = lost.device.sync()
    assert isinstance(lost.result(report, "0011").error, CertificateMismatchError)
    assert lost.device.certificate == lost.certificate
    assert lost.device.state.journal() is not None


def test_n_03_with_the_same_key_the_old_certificate_is_no_result(lost):
    from device_sdk.client.device import RenewalPlan

    lost.device.abandon()
    with pytest.raises(TransportError):
        lost.device.renew(RenewalPlan(rekey=False))
    lost.kept = pkcs7(one_line(certs_only(lost.certificate)))
    error = lost.result(lost.device.sync(), "0011").error
    assert isinstance(error, CertificateMismatchError)
    assert "the certificate that was to be renewed" in error.message


def test_n_03_a_program_asks_for_the_result_of_a_first_enrolment(ca, serve, clock):
    """GET /simpleenroll by who was asked for a password, say; a place of another operation is not asked."""
    key = new_key()
    issued = ca.certify("device 2", key.public_key())
    server = serve(cacerts=bag(ca.certificate), simpleenroll=lambda _: pkcs7(one_line(certs_only(issued))))
    lost = LostRequest(key, CsrSpec(issued.subject), wishes=None)
    with EstClient(server.url, trusting(ca), clock=clock) as client:
        found = client.packages.result(lost)
        assert found is not None
        assert found.certificate == issued
        with pytest.raises(ConfigurationError, match="such results are at"):
            client.packages.result(lost, "/.well-known/est/simplereenroll")
    assert server.seen[-1].line == "GET /.well-known/est/simpleenroll"


def test_where_nothing_is_under_way_nothing_is_fetched(synced):
    synced.entries = [RESULT, ("0008", "simpleenroll", 0), ("0018", "simplereenroll", 0), ("0011", "fullcmc", 0)]
    synced.entries.append(("0008", "fullcmc", 0))
    assert {state for _, state in synced.outcomes()} == {SKIPPED}
    assert synced.asked() == ["GET pal"]


def test_a_key_that_was_never_made_has_no_result(synced):
    """Killed before its key was made: nothing can have been asked for."""
    from dataclasses import replace

    from device_sdk.client.device import RenewalPlan
    from device_sdk.errors import DeviceSdkError

    synced.server.handlers["csrattrs"] = lambda _: http(500)
    with pytest.raises(DeviceSdkError):
        synced.device.renew(RenewalPlan())
    journal = synced.device.state.journal()
    assert journal is not None
    assert journal.key_sha256 is None
    assert replace(journal).key_uri != synced.device.state.load().current.key_uri
    synced.entries = [RESULT]
    assert synced.outcomes() == [("0011", SKIPPED)]
    assert not [line for line in synced.asked() if "enroll" in line]
