"""Entries that ask a device to renew: only the certificate in use is renewed, and once (RFC 8295 sections 2.1 and 9; AMB-11)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509

from device_sdk.client.device.sync import StepState
from device_sdk.errors import EnrolmentPendingError
from tests.est.scripted_server import http

DONE, SKIPPED, UNSUPPORTED = StepState.DONE, StepState.SKIPPED, StepState.UNSUPPORTED


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
    ("0010", "fullcmc", UNSUPPORTED),
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
