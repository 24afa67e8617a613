"""Entries that ask a device to renew: only the certificate in use is renewed, and once (RFC 8295 sections 2.1 and 9; AMB-11)."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cmc.answer import Status

from device_sdk.client.device.sync import StepState
from device_sdk.errors import EnrolmentPendingError
from tests.est.full_cmc_answers import CmcServer
from tests.est.scripted_server import http

DONE, SKIPPED = StepState.DONE, StepState.SKIPPED


def ski(certificate: x509.Certificate) -> str:
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def about(kind: str, **info: object) -> dict[str, object]:
    return {"type": kind, "size": 0, "info": info}


OURS = {
    "issuer and serial": lambda own: {"iasn": {"issuer": "CN=EST root", "serial": own.serial_number}},
    "ski": lambda own: {"ski": ski(own)},
    "dn": lambda _: {"dn": "CN=device 1"},
}
THEIRS = {
    "another serial": lambda own: {"iasn": {"issuer": "CN=EST root", "serial": own.serial_number + 1}},
    "another issuer": lambda own: {"iasn": {"issuer": "CN=Other root", "serial": own.serial_number}},
    "another ski": lambda _: {"ski": "00" * 20},
    "another dn": lambda _: {"dn": "CN=device 2"},
    "no dn": lambda _: {"dn": "device 1"},
}


@pytest.mark.slow
@pytest.mark.parametrize("info", OURS.values(), ids=OURS)
@pytest.mark.parametrize("kind", ["0010", "0007"])
def test_p_15_the_certificate_in_use_is_renewed(synced, kind, info):
    synced.entries = [about(kind, **info(synced.certificate))]
    assert synced.outcomes() == [(kind, DONE)]
    assert synced.device.certificate != synced.certificate
    assert synced.device.state.check() == ()
    assert [line for line in synced.asked() if "enroll" in line] == ["POST simplereenroll"]


@pytest.mark.parametrize("info", THEIRS.values(), ids=THEIRS)
def test_another_certificate_is_not(synced, info):
    synced.entries = [about("0010", **info(synced.certificate))]
    report = synced.device.sync()
    assert synced.outcomes(report) == [("0010", SKIPPED)]
    assert report.steps[0].detail == "it names another certificate than the one in use"
    assert not report.failed
    assert synced.device.certificate == synced.certificate


USES = [
    ("0006", "csrattrs", DONE),
    ("0007", "simpleenroll", DONE),
    ("0010", "simplereenroll", DONE),
    ("0013", "csrattrs", StepState.UNCONFIGURED),
    ("0014", "simpleenroll", StepState.UNCONFIGURED),
    ("0017", "simplereenroll", SKIPPED),
    ("0008", "simpleenroll", SKIPPED),
    ("0011", "fullcmc", SKIPPED),
]


@pytest.mark.parametrize(("kind", "place", "state"), USES)
def test_amb_11_with_a_place_it_is_the_certificate_of_that_use(synced, kind, place, state):
    """This one is for signatures; there is none for key establishment, and nothing says where its key would be."""
    synced.entries = [(kind, place)]
    assert synced.outcomes() == [(kind, state)]
    assert (synced.device.certificate != synced.certificate) is (state is DONE)


def test_one_renewal_is_enough(synced):
    synced.publish("p1", synced.peer())
    synced.entries = [
        ("0010", "simplereenroll"),
        about("0007", dn="CN=device 1"),
        ("0003", "eecerts/p1"),
        ("0005", "crls"),
    ]
    report = synced.device.sync()
    assert synced.outcomes(report) == [("0005", DONE), ("0010", DONE), ("0007", DONE), ("0003", DONE)]
    assert [line for line in synced.asked() if "enroll" in line] == ["POST simplereenroll"]
    used = synced.device.certificate
    assert len(synced.device.peers) == 1, "what comes after it is asked with the new certificate"
    assert used != synced.certificate


def test_a_renewal_that_is_refused_leaves_the_rest(synced):
    synced.publish("p1", synced.peer())
    synced.entries = [("0010", "simplereenroll"), ("0003", "eecerts/p1")]
    synced.server.handlers["simplereenroll"] = lambda _: http(403)
    report = synced.device.sync()
    assert synced.outcomes(report) == [("0010", StepState.FAILED), ("0003", DONE)]
    assert synced.device.certificate == synced.certificate


@pytest.mark.slow
def test_a_renewal_that_is_not_decided_is_pending_and_goes_on_later(synced):
    synced.entries = [("0010", "simplereenroll")]
    decided = synced.server.handlers["simplereenroll"]
    synced.server.handlers["simplereenroll"] = lambda _: http(202, b"", ("Retry-After", "30"))
    report = synced.device.sync()
    assert synced.outcomes(report) == [("0010", StepState.PENDING)]
    assert (report.failed, report.pending) == (False, True)
    assert isinstance(report.steps[0].error, EnrolmentPendingError)
    key = synced.device.state.journal().key_uri
    synced.server.handlers["simplereenroll"] = decided
    synced.clock.shift = timedelta(seconds=31)
    assert synced.outcomes() == [("0010", DONE)]
    assert synced.device.state.load().current.key_uri == key


@pytest.fixture
def by_cmc(synced):
    """The server renews by Full CMC."""
    server = CmcServer(synced.ca)
    synced.server.handlers["fullcmc"] = server.says()
    synced.entries = [("0010", "fullcmc")]
    return server


def test_n_01_a_renewal_by_full_cmc(synced, by_cmc):
    """The entry leads there: a new key, a message that the certificate in use signs, the new pair in use."""
    assert synced.outcomes() == [("0010", DONE)]
    assert [line for line in synced.asked() if "POST" in line] == ["POST fullcmc"]
    assert synced.device.certificate != synced.certificate
    assert synced.device.certificate.subject == synced.certificate.subject
    assert (synced.device.state.check(), synced.device.state.journal()) == ((), None)


def test_n_01_what_full_cmc_has_not_decided_is_asked_for_later(synced, by_cmc):
    """With the token that it gave, by whatever renews next, with the same key; a refusal ends that request."""
    pending = Status(3, (1,), pend_token=b"token", pend_time=synced.clock.now() + timedelta(seconds=30))
    synced.server.handlers["fullcmc"] = by_cmc.says(pending, certificates=[])
    assert synced.outcomes() == [("0010", StepState.PENDING)]
    journal = synced.device.state.journal()
    assert (journal.phase.value, journal.csr, b"token".hex() in journal.cmc) == ("pending", None, True)
    synced.clock.shift = timedelta(seconds=31)
    synced.server.handlers["fullcmc"] = by_cmc.says(Status(2, (1,)), certificates=[])
    assert synced.outcomes() == [("0010", StepState.FAILED)]
    assert synced.device.state.journal().cmc is None
    synced.server.handlers["fullcmc"] = by_cmc.says(pending, certificates=[])
    assert synced.outcomes() == [("0010", StepState.PENDING)]
    key = synced.device.state.journal()
    assert key.key_uri == journal.key_uri
    synced.clock.shift = timedelta(seconds=90)
    csr = x509.load_der_x509_csr(base64.b64decode(json.loads(key.cmc)["csr"]))
    synced.server.handlers["fullcmc"] = by_cmc.says(
        certificates=[synced.ca.certify_csr(csr.public_bytes(Encoding.DER))]
    )
    synced.asked()
    synced.device.renew()
    assert [line for line in synced.asked() if "POST" in line] == ["POST fullcmc"]
    assert synced.device.state.load().current.key_uri == journal.key_uri


@pytest.mark.parametrize(("kind", "place"), [("0007", "simpleenroll/y8"), ("0010", "simplereenroll?y=8")])
def test_amb_12_a_place_below_an_operation_is_the_one_that_is_asked(synced, kind, place):
    """RFC 8295 section 2.1: there it is; what waits is asked for there again, by whatever renews next."""
    handlers = synced.server.handlers
    issue, name = handlers.pop("simplereenroll"), place.rpartition("/")[2]
    handlers[name] = lambda _: http(202, b"", ("Retry-After", "30"))
    synced.entries = [(kind, place)]
    assert synced.outcomes() == [(kind, StepState.PENDING)]
    assert [line for line in synced.asked() if "POST" in line] == [f"POST {place}"]
    handlers[name] = issue
    synced.clock.shift = timedelta(seconds=31)
    synced.device.renew()
    assert [line for line in synced.asked() if "POST" in line] == [f"POST {place}"]
    assert synced.device.certificate != synced.certificate


def test_amb_12_attributes_of_ones_own(synced):
    """0006 leads to what this device is to ask for; the request goes where requests go."""
    synced.server.handlers["x7"] = lambda _: http(204)
    synced.entries = [("0006", "csrattrs/x7")]
    assert synced.outcomes() == [("0006", DONE)]
    asked = synced.asked()
    assert ("GET csrattrs/x7" in asked, "GET csrattrs" in asked, "POST simplereenroll" in asked) == (True, False, True)


def test_amb_12_full_cmc_at_a_place_of_its_own(synced, by_cmc):
    """The query about what is not decided, too."""
    pending = Status(3, (1,), pend_token=b"token", pend_time=synced.clock.now() + timedelta(seconds=30))
    synced.server.handlers["z9"] = by_cmc.says(pending, certificates=[])
    synced.entries = [("0010", "fullcmc/z9")]
    assert synced.outcomes() == [("0010", StepState.PENDING)]
    csr = x509.load_der_x509_csr(base64.b64decode(json.loads(synced.device.state.journal().cmc)["csr"]))
    synced.server.handlers["z9"] = by_cmc.says(certificates=[synced.ca.certify_csr(csr.public_bytes(Encoding.DER))])
    synced.clock.shift = timedelta(seconds=31)
    synced.asked()
    synced.device.renew()
    assert [line for line in synced.asked() if "POST" in line] == ["POST fullcmc/z9"]
    assert synced.device.certificate != synced.certificate


def test_a_202_of_full_cmc_is_asked_again_there(synced, by_cmc):
    """RFC 7030 section 4.3.2: other codes are handled as for simple enrolments."""
    decided = synced.server.handlers["fullcmc"]
    synced.server.handlers["fullcmc"] = lambda _: http(202, b"", ("Retry-After", "30"))
    assert synced.outcomes() == [("0010", StepState.PENDING)]
    synced.server.handlers["fullcmc"] = decided
    synced.clock.shift = timedelta(seconds=31)
    synced.asked()
    synced.device.renew()
    assert [line for line in synced.asked() if "POST" in line] == ["POST fullcmc"]
    assert synced.device.certificate != synced.certificate
