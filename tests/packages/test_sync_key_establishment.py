"""A second certificate, for key establishment, beside the one for signatures (RFC 8295 section 9; N-01, N-03, P-15)."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cmc.answer import Status

from device_sdk.client.device.sync import Deliveries, KeyDelivery, KeyEstablishmentDelivery, StepState
from device_sdk.client.est.symmetric_keys import KeyPackagePolicy
from device_sdk.model.keys import KeyType
from tests.est.answers import csr_of
from tests.est.full_cmc_answers import CmcServer, request_of
from tests.est.pki import certs_only, one_line
from tests.est.scripted_server import Reply, http, pkcs7
from tests.packages.sealing import Sealer

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


def test_amb_12_the_first_one_at_a_place_of_its_own(second):
    """The one that the entry leads to, after a 202, too."""
    second.server.handlers |= {
        "simpleenroll": lambda _: http(404),
        "y8": lambda _: http(202, b"", ("Retry-After", "30")),
    }
    second.entries = [("0014", "simpleenroll/y8")]
    assert second.outcomes(second.go()) == [("0014", StepState.PENDING)]
    second.server.handlers["y8"] = second.issue
    second.clock.shift = timedelta(seconds=31)
    second.entries = [START]
    assert second.outcomes(second.go()) == [("0014", DONE)]
    assert [line for line in second.asked() if "POST" in line] == ["POST simpleenroll/y8"] * 2


def test_n_01_where_nothing_says_where_its_key_would_be_nothing_is_asked(second):
    second.entries = [START, RENEW, ("0018", "simplereenroll", 0)]
    assert dict(second.outcomes()) == {"0014": UNCONFIGURED, "0017": SKIPPED, "0018": SKIPPED}
    assert second.asked() == ["GET pal"]


def test_p_15_only_the_one_that_an_entry_names(second):
    second.entries = [START]
    second.go()
    first = certificate(second)
    second.entries = [
        {
            "type": "0017",
            "size": 0,
            "info": {"iasn": {"issuer": "CN=EST root", "serial": second.certificate.serial_number}},
        }
    ]
    assert second.outcomes(second.go()) == [("0017", SKIPPED)]
    second.entries[0]["info"]["iasn"]["serial"] = first.serial_number
    second.entries.append(
        {"type": "0010", "size": 0, "info": {"iasn": {"issuer": "CN=EST root", "serial": first.serial_number}}}
    )
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
    second.entries = [START]
    second.server.handlers["simpleenroll"] = lambda _: http(202, b"", ("Retry-After", "30"))
    report = second.go()
    assert (second.outcomes(report), report.pending) == ([("0014", StepState.PENDING)], True)
    second.server.handlers["simpleenroll"] = second.issue
    second.clock.shift = timedelta(seconds=31)
    assert second.outcomes(second.go()) == [("0014", DONE)]


def test_a_key_opens_packages_until_its_certificate_ends(second, tmp_path):
    """What is on its way is encrypted to a certificate that was replaced meanwhile; the key of one that ended goes."""
    sealer, kept = Sealer(), tmp_path / "kept"
    kept.mkdir(mode=0o700)
    policy = KeyPackagePolicy(sealer.anchors)
    second.entries = [START]
    second.go()
    sealer.device = certificate(second)
    message = http(200, sealer.seal(), ("Content-Type", "application/cms"))
    second.server.handlers["k-1"] = lambda _: message
    second.deliveries = dataclasses.replace(second.deliveries, keys=lambda: KeyDelivery(policy, kept))
    second.entries = [RENEW, ("0024", "symmetrickeys/k-1", 900)]
    report = second.go()
    assert dict(second.outcomes(report)) == {"0017": DONE, "0024": DONE}, report.steps
    assert len(list(kept.iterdir())) == 1

    directory = second.device.state.key_establishment
    with directory.exclusive():  # as if it had ended
        ended = second.ca.certify(
            "device 1", sealer.device.public_key(), not_after=second.clock.now() - timedelta(days=1)
        )
        record = dataclasses.replace(directory.load().previous[0], certificate=directory.add_certificate([ended]))
        directory.save(dataclasses.replace(directory.load(), previous=(record,)))
    assert len(list(tmp_path.glob("establishing*.pem"))) == 2
    second.entries = [RENEW]
    assert second.outcomes(second.go()) == [("0017", DONE)]
    assert [path.name for path in sorted(tmp_path.glob("establishing*.pem"))] == [
        "establishing-2.pem",
        "establishing-3.pem",
    ]
    assert len(directory.load().previous) == 1
    assert directory.check() == ()


def test_n_03_the_first_one_whose_answer_was_lost_is_fetched(second):
    def lose(seen):
        second.kept = second.issue(seen)
        return Reply(b"", "close")

    second.server.handlers |= {"simpleenroll": lose, "simpleenroll?use=KE": lambda _: second.kept}
    second.entries = [START]
    assert second.outcomes(second.go()) == [("0014", StepState.FAILED)]
    second.entries = [("0015", "simpleenroll?use=KE", 0)]
    second.asked()
    report = second.go()
    assert second.outcomes(report) == [("0015", DONE)], report.steps[0].detail
    assert [line for line in second.asked() if "enroll" in line] == ["GET simpleenroll?use=KE"]
    assert certificate(second).public_key() == second.requests[-1].public_key()
    assert len(second.requests) == 1
    assert second.outcomes(second.go()) == [("0015", SKIPPED)]


def test_n_01_it_is_renewed_by_full_cmc(second):
    """The message is signed by the certificate for signatures, as this one signs nothing; what is not decided is asked for later."""
    second.entries = [START]
    second.go()
    first, server = certificate(second), CmcServer(second.ca)
    second.entries = [("0017", "fullcmc")]
    pending = Status(3, (1,), pend_token=b"token", pend_time=second.clock.now() + timedelta(seconds=30))
    second.server.handlers["fullcmc"] = server.says(pending, certificates=[])
    assert second.outcomes(second.go()) == [("0017", StepState.PENDING)]
    csr = x509.load_der_x509_csr(request_of(second.server.seen[-1]).request.der)
    assert (csr.subject, usage(csr)) == (first.subject, usage(first))
    second.clock.shift = timedelta(seconds=31)
    issued = second.ca.certify_csr(csr.public_bytes(Encoding.DER))
    second.server.handlers["fullcmc"] = server.says(certificates=[issued])
    second.asked()
    report = second.go()
    assert second.outcomes(report) == [("0017", DONE)], report.steps[0].detail
    assert [line for line in second.asked() if "POST" in line] == ["POST fullcmc"]
    assert certificate(second) == issued
    assert second.device.certificate == second.certificate
    assert second.device.state.key_establishment.journal() is None
