"""`sync` and revocation lists about those who sign packages, whose anchors are not those of the EST server (C-05, AMB-20)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.packages import layers

from device_sdk.client.device.importing import NameGiven, import_anchors, read_trust_anchor
from device_sdk.client.device.sync import Deliveries, StepState
from device_sdk.client.doctor import Doctor
from device_sdk.errors import ConfigurationError, FirmwareError, KeyPackageUntrustedError, TampRefusedError
from device_sdk.protocols.tamp import Role
from tests.est.pki import Ca, new_key
from tests.est.scripted_server import http
from tests.packages.keeping import FIRMWARE, KEYS, bench, maker, sealer
from tests.packages.sealing import key_package
from tests.packages.test_crls import crl
from tests.tamp import making
from tests.tamp.making import Manager, authority, may_sign

__all__ = ["bench", "maker", "sealer"]

DONE, FAILED = StepState.DONE, StepState.FAILED
LISTS, MESSAGE = ("0005", "crls"), ("0030", "tamp/m-1", 700)


def kept(bench) -> tuple:
    return bench.synced.device.state.packages.signer_lists()


def test_c_05_a_revoked_signer_of_keys(bench):
    bench.synced.lists = [crl(bench.synced.ca), crl(bench.sealer.ca, bench.sealer.signer)]
    report = bench.sync(LISTS, KEYS)
    assert bench.states(report) == [("0005", DONE), ("0024", FAILED)]
    assert isinstance(report.steps[1].error, KeyPackageUntrustedError)
    assert "revoked" in report.steps[1].error.message
    assert report.steps[0].detail == "revocation lists kept: 1, and 1 about who signs packages"
    assert bench.stored() == {}


def test_c_05_a_revoked_signer_of_firmware(bench):
    bench.synced.lists = [crl(bench.maker.root, bench.maker.signer.certificate)]
    report = bench.sync(LISTS, FIRMWARE)
    assert bench.states(report) == [("0005", DONE), ("0026", FAILED)]
    assert isinstance(report.steps[1].error, FirmwareError)
    assert "revoked" in report.steps[1].error.message
    assert not bench.image.exists()


LISTS_ONLY = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def other_key(authority, *, for_lists: bool) -> Ca:
    """A certificate by the name of a CA, from that CA: for its next key, or for its key for lists."""
    key, subject = new_key(), authority.certificate.subject
    options = {"extensions": [(LISTS_ONLY, True)]} if for_lists else {"ca": True}
    return Ca(key, Ca(authority.key, authority.certificate).certify(subject, key.public_key(), **options))


@pytest.mark.parametrize("for_lists", [False, True])
@pytest.mark.parametrize("what", ["keys", "firmware", "message"])
def test_c_05_a_list_by_another_key_of_the_ca_counts(bench, what, for_lists):
    """Its next one, or the one for its lists alone (RFC 5280 section 4.2.1.3; RFC 4210 section 4.4.3)."""
    entry = {"keys": KEYS, "firmware": FIRMWARE, "message": MESSAGE}[what]
    if what == "message":
        issuer, delegate = delegate_of_a_manager(bench)
        revoked = delegate.certificate
    else:
        issuer, revoked = (
            (bench.sealer.ca, bench.sealer.signer)
            if what == "keys"
            else (bench.maker.root, bench.maker.signer.certificate)
        )
    other = other_key(issuer, for_lists=for_lists)
    bench.synced.below = [other]
    bench.synced.lists = [crl(other, revoked)]
    report = bench.sync(LISTS, entry)
    assert [state for _, state in bench.states(report)] == [DONE, FAILED]
    assert "revoked" in report.steps[1].error.message
    bench.synced.below = []
    report = bench.sync(entry, again=True)
    assert "revoked" in report.steps[0].error.message, "its issuer is kept with it"


def delegate_of_a_manager(bench) -> tuple:
    """Who may manage trust anchors, and somebody below him, whose message waits."""
    state, manager = bench.synced.device.state, authority("Manager", None, may_sign(making.ANY))
    delegate = authority("Delegate", manager, may_sign(making.ANY))
    with state.exclusive():
        anchor = read_trust_anchor(manager.certificate.public_bytes(Encoding.DER), "manager")
        import_anchors(state, [anchor], Role.MANAGEMENT, NameGiven(making.HARDWARE, making.SERIAL))
    bench.give(
        "m-1", Manager(delegate, (delegate.certificate,)).update(making.add(making.certificate(authority("New"))))
    )
    return manager, delegate


def test_c_05_a_revoked_delegate_of_a_manager_by_lists_of_his_alone(bench):
    """Who calls himself like the manager revokes nobody below him."""
    manager, delegate = delegate_of_a_manager(bench)
    namesake = bench.synced.ca.issue_ca("Manager")
    bench.synced.below = [namesake]
    bench.synced.lists = [crl(namesake, delegate.certificate)]
    assert bench.states(bench.sync(LISTS)) == [("0005", DONE)]
    bench.synced.lists = [crl(manager, delegate.certificate)]
    report = bench.sync(LISTS, MESSAGE)
    assert isinstance(report.steps[1].error, TampRefusedError)
    assert "revoked" in report.steps[1].error.message
    bench.synced.lists = [crl(manager, number=2)]
    bench.give("m-1", Manager(delegate, (delegate.certificate,)).update(making.add(making.certificate(authority("B")))))
    assert bench.states(bench.sync(LISTS, MESSAGE)) == [("0005", DONE), ("0030", DONE)]


def test_c_05_lists_about_signers_revoke_nobody_else(bench):
    """Whoever may sign firmware is no CA of this network, even by the name of one."""
    peer = bench.synced.peer()
    bench.synced.publish("p1", peer)
    bench.sealer.ca, before = Ca.root("EST root"), bench.sealer.ca
    try:
        bench.synced.lists = [crl(bench.synced.ca), crl(bench.sealer.ca, peer, bench.synced.certificate, number=9)]
        report = bench.sync(LISTS, ("0003", "eecerts/p1"))
    finally:
        bench.sealer.ca = before
    assert bench.states(report) == [("0005", DONE), ("0003", DONE)]
    assert bench.synced.device.peers == (peer,)
    assert len(kept(bench)) == 1


def test_c_06_never_an_older_list_about_signers(bench):
    newer = crl(bench.sealer.ca, bench.sealer.signer, number=2)
    bench.synced.lists = [newer]
    bench.sync(LISTS)
    bench.synced.lists = [crl(bench.sealer.ca, number=1)]
    report = bench.sync(LISTS)
    assert "is older than the one that is kept" in report.steps[0].notes[0]
    assert kept(bench) == (newer,)
    assert bench.synced.device.revocation_lists == ()
    bench.synced.server.handlers["crls"] = lambda _: http(404)
    bench.sync(LISTS)
    assert kept(bench) == (newer,)


def test_c_05_status_and_doctor_tell_of_lists_about_signers(bench):
    bench.synced.lists = [crl(bench.sealer.ca, bench.sealer.signer)]
    bench.sync(LISTS)
    device = bench.synced.device
    (shown,) = device.status().to_json()["signer_revocation_lists"]
    assert (shown["issuer"], shown["entries"], shown["stale"]) == ("CN=Package root", 1, False)

    def verdict(days: int) -> tuple[str, str]:
        doctor = Doctor(str(device.state.path), now=lambda: datetime.now(UTC) + timedelta(days))
        (found,) = [one for one in doctor.run() if one.check == "revocation"]
        return found.status, found.detail

    assert verdict(0) == ("ok", "revocation lists: 0, about who signs packages: 1, peers: 0")
    assert verdict(20) == ("warning", "stale: the revocation list of CN=Package root")


def test_c_05_a_signer_below_a_ca_whose_anchor_is_not_the_servers(bench):
    """The issuing CA is in /cacerts, where it leads to nobody the server is trusted by, and its list is taken."""
    issuing = bench.sealer.ca.issue_ca("Package issuing CA")
    signer = issuing.certify("package signer 2", bench.sealer.signer_key.public_key())
    by = bench.sealer.by(signer=signer)
    by = dataclasses.replace(by, certificates=[signer, issuing.certificate])
    bench.give("k-1", layers.protect(key_package(), "c", by))
    bench.synced.below = [issuing]
    bench.synced.lists = [crl(issuing, signer)]
    report = bench.sync(LISTS, KEYS)
    assert bench.states(report) == [("0005", DONE), ("0024", FAILED)]
    assert "revoked" in report.steps[1].error.message


@pytest.mark.parametrize(
    "mistake", [ConfigurationError("anchors.pem: no certificate"), FileNotFoundError(2, "anchors.pem: no certificate")]
)
def test_c_06_a_mistake_in_the_configuration_leaves_the_lists_about_signers_as_they_are(bench, mistake):
    newer = crl(bench.sealer.ca, bench.sealer.signer, number=2)
    bench.synced.lists = [crl(bench.synced.ca), newer]
    bench.sync(LISTS)

    def wrong():
        raise mistake

    report = bench.synced.device.sync(deliveries=Deliveries(keys=wrong))
    assert bench.states(report) == [("0005", DONE)]
    assert any("anchors.pem: no certificate" in note for note in report.steps[0].notes)
    assert kept(bench) == (newer,)
