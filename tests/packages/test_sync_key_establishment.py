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
