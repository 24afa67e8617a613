"""A second certificate, for key establishment, beside the one for signatures (RFC 8295 section 9; N-01, N-03, P-15)."""

from __future__ import annotations

import pytest
from cryptography import x509

from device_sdk.client.device.sync import Deliveries, KeyEstablishmentDelivery, StepState
from device_sdk.model.keys import KeyType
from tests.est.answers import csr_of
from tests.est.pki import certs_only, one_line
from tests.est.scripted_server import Reply, http, pkcs7

DONE, SKIPPED, UNCONFIGURED = StepState.DONE, StepState.SKIPPED, StepState.UNCONFIGURED
START, RENEW = ("0014", "simpleenroll"), ("0017", "simplereenroll")


def usage(holder) -> x509.KeyUsage:
    return holder.extensions.get_extension_for_class(x509.KeyUsage).value


@pytest.fixture
def place(tmp_path):
    return f"file:{tmp_path}/establishing.pem"


@pytest.fixture
def second(synced, place):
    """A device whose server gives out what was asked for; `second.requests` is what that was."""

    def issue(seen):
        csr = x509.load_der_x509_csr(csr_of(seen))
        second.requests.append(csr)
        wanted = csr.extensions.get_extension_for_class(x509.KeyUsage)
        ski = x509.SubjectKeyIdentifier.from_public_key(csr.public_key())
        issued = synced.ca.certify(csr.subject, csr.public_key(), extensions=[(ski, False), (wanted.value, True)])
        return pkcs7(one_line(certs_only(issued)))

    second = synced
    second.requests, second.issue = [], issue
    synced.server.handlers |= {"simpleenroll": issue, "simplereenroll": issue}
    second.deliveries = Deliveries(key_establishment=lambda: KeyEstablishmentDelivery(place, KeyType.EC_P256))
    second.go = lambda: synced.device.sync(deliveries=second.deliveries)
    return second


def certificate(second) -> x509.Certificate:
    directory = second.device.state.key_establishment
    return directory.snapshot()[1][0]


def test_n_01_it_is_got_and_renewed_beside_the_other(second):
    second.entries = [START]
    report = second.go()
    assert second.outcomes(report) == [("0014", DONE)], report.steps[0].detail
    first = certificate(second)
    assert (usage(first).key_agreement, usage(first).digital_signature) == (True, False)
    assert first.subject == second.certificate.subject
    assert second.device.certificate == second.certificate, "the one for signatures stays"

    second.entries = [RENEW]
    assert second.outcomes(second.go()) == [("0017", DONE)]
    renewed = certificate(second)
    assert renewed.public_key() != first.public_key()
    assert second.requests[1].subject == first.subject
    assert usage(second.requests[1]) == usage(first)
    assert second.device.certificate == second.certificate
    kept = second.device.state.key_establishment.load()
    assert len(kept.previous) == 1, "packages on their way are encrypted to the one before"
    assert second.device.state.check() == second.device.state.key_establishment.check() == ()
    assert not (second.device.state.key_establishment.path / "trust").exists(), "no anchors of its own"


def test_n_01_where_nothing_says_where_its_key_would_be_nothing_is_asked(second):
    second.entries = [START, RENEW, ("0018", "simplereenroll", 0)]
    assert dict(second.outcomes()) == {"0014": UNCONFIGURED, "0017": SKIPPED, "0018": SKIPPED}
    assert second.asked() == ["GET pal"]


def test_p_15_only_the_one_that_an_entry_names(second):
    second.entries = [START]
    second.go()
    first = certificate(second)
    second.entries = [{"type": "0017", "size": 0, "info": {"iasn": {"issuer": "CN=EST root", "serial": second.certificate.serial_number}}}]
    assert second.outcomes(second.go()) == [("0017", SKIPPED)]
    second.entries[0]["info"]["iasn"]["serial"] = first.serial_number
    second.entries.append({"type": "0010", "size": 0, "info": {"iasn": {"issuer": "CN=EST root", "serial": first.serial_number}}})
    assert dict(second.outcomes(second.go())) == {"0017": DONE, "0010": SKIPPED}
    assert certificate(second) != first
    assert second.device.certificate == second.certificate


def test_n_03_an_answer_that_was_lost_is_fetched(second):
    """By GET, with the certificate for signatures; for the key that was made then."""
    second.entries = [START]
    second.go()
    first = certificate(second)

    def lose(seen):
        second.kept = second.issue(seen)
        return Reply(b"", "close")

    second.server.handlers["simplereenroll"] = lose
    second.entries = [RENEW]
    assert second.outcomes(second.go()) == [("0017", StepState.FAILED)]
    assert certificate(second) == first
    second.server.handlers["simplereenroll?use=KE"] = lambda _: second.kept
    second.entries = [("0018", "simplereenroll?use=KE", 0)]
    second.asked()
    report = second.go()
    assert second.outcomes(report) == [("0018", DONE)], report.steps[0].detail
    assert [line for line in second.asked() if "enroll" in line] == ["GET simplereenroll?use=KE"]
    assert certificate(second).public_key() == second.requests[-1].public_key()
    assert second.outcomes(second.go()) == [("0018", SKIPPED)]


def test_a_request_that_is_not_decided_goes_on_with_the_same_key(second):
    from datetime import timedelta

    second.entries = [START]
    second.server.handlers["simpleenroll"] = lambda _: http(202, b"", ("Retry-After", "30"))
    report = second.go()
    assert (second.outcomes(report), report.pending) == ([("0014", StepState.PENDING)], True)
    second.server.handlers["simpleenroll"] = second.issue
    second.clock.shift = timedelta(seconds=31)
    assert second.outcomes(second.go()) == [("0014", DONE)]


def test_a_key_goes_when_the_last_certificate_for_it_ended(second, tmp_path):
    from datetime import timedelta

    second.entries = [START]
    second.go()
    second.entries = [RENEW]
    second.go()
    assert len(list(tmp_path.glob("establishing*.pem"))) == 2
    second.clock.shift = certificate(second).not_valid_after_utc - second.clock.now() - timedelta(minutes=1)
    first = second.device.state.key_establishment.load().previous[0]
    ended = second.device.state.key_establishment.chain(first.certificate)[0].not_valid_after_utc
    assert ended >= second.clock.now(), "still good: its key is there"
