"""From a certificate to the next one: proved before it replaces anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import RenewalPlan
from device_sdk.errors import (
    AuthenticationRequiredError,
    CertificateMismatchError,
    ConfigurationError,
    DeviceSdkError,
    EnrolmentPendingError,
    HttpStatusError,
    KeyExistsError,
    StateError,
    TransportError,
)
from device_sdk.keystores import registry
from device_sdk.model.csr import DeviceAttributes
from device_sdk.model.keys import KeyType
from device_sdk.state import Operation, Phase
from tests.est.pki import certs_only, one_line

P384_ATTRIBUTE = bytes.fromhex("301206072a8648ce3d0201310706052b81040022")  # id-ecPublicKey, secp384r1


def test_rekey_is_authenticated_by_the_old_key_and_proved_with_the_new(bench) -> None:
    """EST-89, EST-152, EST-157: nobody is asked for the password again."""
    old = bench.device.enroll(bench.plan)
    new = bench.device.renew()
    assert new.key_uri == f"file:{bench.keys}/device-2.pem"
    assert bench.key_files() == ["device-2.pem"]
    assert new.certificate.public_key() != old.certificate.public_key()
    assert new.certificate.subject == old.certificate.subject
    (renewal,) = bench.logged("simplereenroll")
    assert renewal["client_serial"] == f"{old.certificate.serial_number:x}"
    assert renewal["authentication"] == "tls"
    proof = bench.server.log()[-1]
    assert (proof["operation"], proof["client_serial"]) == ("cacerts", f"{new.certificate.serial_number:x}")
    assert registry.load_certificate(new.key_uri) == new.certificate
    assert len(list((bench.device.state.path / "certificates").iterdir())) == 1
    bench.require_sound()


def test_the_mac_address_is_in_every_request(bench) -> None:
    """EST-177: servers that recognise a device by it see it again, although the certificate does not repeat it."""
    with_mac = replace(bench.plan.spec, device=DeviceAttributes(mac_address="00:00:5e:00:53:07"))
    bench.device.enroll(replace(bench.plan, spec=with_mac))
    bench.device.renew()
    bench.device.renew(RenewalPlan(mac_address="00:00:5e:00:53:08"))
    bench.device.renew()
    assert bench.logged("simpleenroll")[-1]["mac_address"] == "00:00:5e:00:53:07"
    renewals = [entry["mac_address"] for entry in bench.logged("simplereenroll")]
    assert renewals == ["00:00:5e:00:53:07", "00:00:5e:00:53:08", "00:00:5e:00:53:08"]


def test_generations_count_up(bench) -> None:
    bench.device.enroll(bench.plan)
    names = [bench.device.renew().key_uri.rpartition("/")[2] for _ in range(3)]
    assert names == ["device-2.pem", "device-3.pem", "device-4.pem"]
    assert bench.key_files() == ["device-4.pem"]
    assert not bench.device.enroll(bench.plan).changed, "the plan of the first enrolment still describes this device"


def test_renewal_with_the_same_key(bench) -> None:
    """EST-151."""
    old = bench.device.enroll(bench.plan)
    new = bench.device.renew(RenewalPlan(rekey=False))
    assert new.certificate.public_key() == old.certificate.public_key()
    assert new.certificate.serial_number != old.certificate.serial_number
    assert bench.key_files() == ["device.pem"]
    bench.require_sound()


def test_est_139_the_old_certificate_again_is_no_renewal(bench) -> None:
    """EST-151 with a CA that answers from its archive: nothing changed, and nothing is said to have."""
    old = bench.device.enroll(bench.plan)
    before = bench.device.state.load()
    bench.server.archived = old.certificate
    with pytest.raises(CertificateMismatchError, match="that was to be renewed"):
        bench.device.renew(RenewalPlan(rekey=False))
    assert bench.device.state.load() == before
    assert bench.key_files() == ["device.pem"]
    bench.server.archived = None
    new = bench.device.renew(RenewalPlan(rekey=False))
    assert new.changed
    assert new.certificate != old.certificate
    bench.require_sound()


def test_the_old_pair_is_kept_where_its_owner_wants_it(bench) -> None:
    old = bench.device.enroll(bench.plan)
    bench.device.renew(RenewalPlan(keep_old=True))
    state = bench.device.state.load()
    assert bench.key_files() == ["device-2.pem", "device.pem"]
    assert bench.device.state.chain(state.previous[0].certificate)[0] == old.certificate
    bench.require_sound()


def test_the_new_key_may_be_named_and_typed(bench) -> None:
    bench.device.enroll(bench.plan)
    uri = f"file:{bench.keys}/second.pem"
    new = bench.device.renew(RenewalPlan(key_uri=uri, key_type=KeyType.EC_P521))
    assert new.key_uri == uri
    assert KeyType.of(new.certificate.public_key()) is KeyType.EC_P521
    with pytest.raises(KeyExistsError):
        bench.device.renew(RenewalPlan(key_uri=uri))
    bench.require_sound()


def test_the_server_may_ask_for_another_key_type(bench) -> None:
    bench.device.enroll(bench.plan)
    bench.server.policy.csrattrs = [P384_ATTRIBUTE]
    new = bench.device.renew()
    assert KeyType.of(new.certificate.public_key()) is KeyType.EC_P384


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status=503@simplereenroll", HttpStatusError),
        ("reset@simplereenroll", TransportError),
        ("other_key@simplereenroll", CertificateMismatchError),
        ("reset@cacerts", TransportError),
    ],
)
def test_whatever_fails_the_old_pair_stays_and_the_new_key_is_used_later(bench, fault: str, error: type) -> None:
    """EST-157."""
    bench.device.enroll(bench.plan)
    before = bench.device.state.load()
    bench.server.faults.parse(fault)
    with pytest.raises(error):
        bench.device.renew()
    assert bench.device.state.load() == before
    assert "device.pem" in bench.key_files()
    half_made = bench.keys / "device-2.pem"
    made = half_made.read_bytes() if half_made.exists() else None
    assert bench.device.needs_renewal().needed
    assert "under way" in bench.device.needs_renewal().reason
    bench.server.faults.clear()
    bench.device.renew()
    assert made in (None, half_made.read_bytes())
    assert bench.key_files() == ["device-2.pem"]
    bench.require_sound()


class Spoiling(ReferenceServer):
    """Behaves until it has issued a renewed certificate, then spoils what comes after."""

    spoil = ""
    archived: x509.Certificate | None = None

    def handle(self, request):  # type: ignore[no-untyped-def]
        response = super().handle(request)
        if request.target.endswith("simplereenroll") and self.archived:
            response.body = one_line(certs_only(self.archived))
        if request.target.endswith("simplereenroll") and self.spoil:
            self.faults.parse(self.spoil)
        return response


@pytest.fixture
def est_server(tmp_path: Path) -> Iterator[Spoiling]:
    with Spoiling(tmp_path / "server") as server:
        yield server


def test_a_pair_that_cannot_be_proved_now_is_proved_later(bench) -> None:
    """A network that goes away after the certificate was issued costs nothing."""
    bench.device.enroll(bench.plan)
    before = bench.device.state.load()
    bench.server.spoil = "reset@cacerts"
    for _ in range(2):
        with pytest.raises(TransportError):
            bench.device.renew()
        assert bench.device.state.load() == before
        assert bench.device.state.journal().phase is Phase.ISSUED
        assert bench.key_files() == ["device-2.pem", "device.pem"]
    bench.server.faults.clear()
    bench.device.renew()
    assert len(bench.logged("simplereenroll")) == 1, "the issued certificate was not lost"
    assert bench.key_files() == ["device-2.pem"]
    bench.require_sound()


def test_a_pair_the_server_refuses_twice_is_destroyed_and_the_old_one_stays(bench) -> None:
    bench.device.enroll(bench.plan)
    before = bench.device.state.load()
    bench.server.spoil = "unauthorized@cacerts"
    with pytest.raises(AuthenticationRequiredError, match="stay in use"):
        bench.device.renew()
    assert bench.device.state.journal().phase is Phase.ISSUED
    with pytest.raises(AuthenticationRequiredError, match="were destroyed"):
        bench.device.renew()
    assert bench.device.state.load() == before
    assert bench.key_files() == ["device.pem"]
    bench.require_sound()
    bench.server.spoil = ""
    bench.server.faults.clear()
    assert bench.device.renew().key_uri.endswith("device-2.pem")
    bench.require_sound()


def test_an_issued_certificate_that_expired_in_a_drawer_is_asked_for_again(bench, clock) -> None:
    bench.device.enroll(bench.plan)
    bench.server.policy.lifetime = timedelta(days=1)
    bench.server.spoil = "reset@cacerts"
    with pytest.raises(TransportError):
        bench.device.renew()
    bench.server.spoil = ""
    bench.server.faults.clear()
    clock.offset_s = timedelta(days=2).total_seconds()
    bench.server.clock = clock.now
    bench.device.renew()
    assert len(bench.logged("simplereenroll")) == 2
    assert bench.key_files() == ["device-2.pem"]
    bench.require_sound()


def test_a_pending_renewal_goes_on_with_the_same_key(bench, clock) -> None:
    bench.device.enroll(bench.plan)
    bench.server.policy.require_approval = True
    bench.server.policy.retry_after_s = 60
    with pytest.raises(EnrolmentPendingError):
        bench.device.renew()
    made = (bench.keys / "device-2.pem").read_bytes()
    assert bench.device.status().to_json()["under_way"]["phase"] == "pending"
    assert not bench.device.enroll(bench.plan).changed, "enrolling does not disturb a renewal"
    assert bench.device.state.journal().operation is Operation.RENEW
    bench.server.est.queue.decide(None, approve=True)
    clock.offset_s += 61
    bench.device.renew()
    assert (bench.keys / "device-2.pem").read_bytes() == made
    assert bench.key_files() == ["device-2.pem"]
    bench.require_sound()


def test_a_pending_renewal_may_be_abandoned_or_named_anew(bench) -> None:
    bench.device.enroll(bench.plan)
    bench.server.policy.require_approval = True
    with pytest.raises(EnrolmentPendingError):
        bench.device.renew()
    with pytest.raises(EnrolmentPendingError):
        bench.device.renew(RenewalPlan(key_uri=f"file:{bench.keys}/other.pem"))
    assert bench.key_files() == ["device.pem", "other.pem"]
    assert bench.device.abandon()
    assert bench.key_files() == ["device.pem"]
    bench.require_sound()


def test_an_enrolment_under_way_is_not_mistaken_for_a_renewal(bench) -> None:
    bench.device.enroll(bench.plan)
    bench.server.policy.require_approval = True
    with pytest.raises(EnrolmentPendingError):
        bench.device.enroll(bench.planned(again=True))
    with pytest.raises(StateError, match="an enrolment is under way"):
        bench.device.renew()
    assert bench.device.abandon()
    assert bench.key_files() == ["device.pem"], "the key in use is nobody's to destroy"
    bench.require_sound()


def test_an_expired_certificate_cannot_renew_itself(bench, clock) -> None:
    """EST-155."""
    bench.device.enroll(bench.plan)
    clock.offset_s = timedelta(days=100).total_seconds()
    bench.server.clock = clock.now
    assert bench.device.needs_renewal().needed
    with pytest.raises(DeviceSdkError, match="enrol again"):
        bench.device.renew()


def test_needs_renewal_by_share_of_the_lifetime(bench, clock) -> None:
    leaf = bench.device.enroll(bench.plan).certificate
    assert not bench.device.needs_renewal().needed
    assert bench.device.needs_renewal(now=leaf.not_valid_after_utc).needed
    assert bench.device.needs_renewal(now=leaf.not_valid_before_utc + timedelta(days=61)).needed
    assert not bench.device.needs_renewal(leaf.not_valid_before_utc + timedelta(days=61), threshold=0.8).needed
    with pytest.raises(ConfigurationError):
        bench.device.needs_renewal(threshold=66)
