"""From nothing to a certificate in use."""

from __future__ import annotations

import stat
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.client.device import Device
from device_sdk.errors import (
    AuthenticationRequiredError,
    CertificateMismatchError,
    ClockError,
    ConfigurationError,
    EnrolmentPendingError,
    FingerprintMismatchError,
    HttpStatusError,
    KeyExistsError,
    StateError,
    StateNotWritableError,
    TransportError,
)
from device_sdk.keystores import registry
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import Pin
from device_sdk.state import Operation, Phase

DEVICE_STATE = "state"
P384_ATTRIBUTE = bytes.fromhex("301206072a8648ce3d0201310706052b81040022")  # id-ecPublicKey, secp384r1


def test_one_tls_connection_from_key_to_certificate(bench) -> None:
    """cacerts, csrattrs and enroll use one TLS connection unless the server closes it."""
    outcome = bench.device.enroll(bench.plan)
    assert bench.server.connections == 1
    assert outcome.changed
    assert outcome.key_uri == bench.key_uri
    assert bench.key_files() == ["device.pem"]
    bench.require_sound()
    assert bench.device.certificate == outcome.certificate
    assert bench.device.state.load().time_floor == outcome.certificate.not_valid_before_utc
    assert registry.load_certificate(bench.key_uri) == outcome.certificate
    assert bench.device.anchors == bench.plan.anchors
    status = bench.device.status()
    assert status.enrolled
    assert status.to_json()["key_uri"] == bench.key_uri


def test_openssl_verifies_the_files_other_software_gets(bench) -> None:
    """EST-119, EST-142."""
    bench.device.enroll(bench.plan)
    state = bench.device.state
    command = ["openssl", "verify", "-CAfile", state.anchors_file, "-untrusted", state.current_file, state.current_file]
    assert subprocess.run(command, capture_output=True, check=False, text=True).returncode == 0
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700


def test_no_secret_is_in_the_state_directory(bench) -> None:
    bench.device.enroll(bench.plan)
    content = b"".join(path.read_bytes() for path in bench.device.state.path.rglob("*") if path.is_file())
    assert bench.server.password.encode() not in content
    assert b"PRIVATE KEY" not in content


def test_an_enrolled_device_stays_as_it_is(bench) -> None:
    first = bench.device.enroll(bench.plan)
    second = bench.device.enroll(bench.plan)
    assert not second.changed
    assert second.chain == first.chain
    assert len(bench.logged("simpleenroll")) == 2, "the challenged and the answered request of the first run"


def test_another_plan_for_an_enrolled_device_is_refused(bench) -> None:
    bench.device.enroll(bench.plan)
    for change in ({"key_uri": f"file:{bench.keys}/other.pem"}, {"label": "other"}):
        with pytest.raises(ConfigurationError, match="enrolled already"):
            bench.device.enroll(bench.planned(**change))
    assert bench.key_files() == ["device.pem"]


def test_enrolling_again_replaces_the_certificate_and_keeps_the_key(bench) -> None:
    first = bench.device.enroll(bench.plan)
    second = bench.device.enroll(bench.planned(again=True))
    assert second.certificate.serial_number != first.certificate.serial_number
    assert second.certificate.public_key() == first.certificate.public_key()
    assert bench.key_files() == ["device.pem"]
    bench.require_sound()


def test_enrolling_again_with_another_key_lets_the_old_one_go(bench) -> None:
    bench.device.enroll(bench.plan)
    bench.device.enroll(bench.planned(again=True, key_uri=f"file:{bench.keys}/other.pem"))
    assert bench.key_files() == ["other.pem"]
    bench.require_sound()


def test_an_expired_certificate_is_replaced_by_enrolling(bench, clock) -> None:
    first = bench.device.enroll(bench.plan)
    clock.offset_s = timedelta(days=91).total_seconds()
    bench.server.clock = clock.now
    second = bench.device.enroll(bench.plan)
    assert second.changed
    assert second.certificate.serial_number != first.certificate.serial_number
    bench.require_sound()


def test_bootstrap_by_fingerprint_stores_the_anchor_as_explicit(bench) -> None:
    """EST-118, EST-125."""
    pin = Pin("sha256", bytes.fromhex(bench.server.ca_sha256))
    bench.device.enroll(bench.planned(anchors=(), pins=(Pin("sha256", bytes(32)), pin)))
    assert bench.device.anchors == bench.plan.anchors
    assert not bench.device.state.load().endpoint.implicit
    bench.require_sound()


def test_a_wrong_fingerprint_makes_no_key_and_shows_no_password(bench) -> None:
    with pytest.raises(FingerprintMismatchError):
        bench.device.enroll(bench.planned(anchors=(), pins=(Pin("sha256", bytes(32)),)))
    assert {entry["operation"] for entry in bench.server.log()} == {"cacerts"}
    assert bench.key_files() == []


def test_the_system_store_is_left_for_explicit_anchors_at_once(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """EST-118: the Implicit database is disabled for this server once its CA is known."""
    monkeypatch.setenv("SSL_CERT_FILE", str(bench.server.ca_file))
    bench.device.enroll(bench.planned(anchors=(), implicit=True))
    assert not bench.device.state.load().endpoint.implicit
    assert bench.device.anchors == bench.plan.anchors


def test_the_server_decides_the_key_type_where_the_owner_does_not(bench) -> None:
    """EST-174: csrattrs is applied to the key type."""
    bench.server.policy.csrattrs = [P384_ATTRIBUTE]
    outcome = bench.device.enroll(bench.plan)
    assert KeyType.of(outcome.certificate.public_key()) is KeyType.EC_P384


def test_the_owner_decides_the_key_type(bench) -> None:
    bench.server.policy.csrattrs = [P384_ATTRIBUTE]
    outcome = bench.device.enroll(bench.planned(key_type=KeyType.EC_P521))
    assert KeyType.of(outcome.certificate.public_key()) is KeyType.EC_P521
    assert any("as its owner says" in note for note in outcome.notes)


def key_bytes(bench) -> bytes:
    return (bench.keys / "device.pem").read_bytes()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("status=503", HttpStatusError),
        ("reset", TransportError),
        ("other_key", CertificateMismatchError),
        ("other_issuer", CertificateMismatchError),
        ("expired", CertificateMismatchError),
    ],
)
def test_after_a_failure_the_same_command_goes_on_with_the_same_key(bench, fault: str, error: type) -> None:
    bench.server.faults.parse(f"{fault}@simpleenroll")
    with pytest.raises(error):
        bench.device.enroll(bench.plan)
    made = key_bytes(bench)
    assert bench.device.state.journal().phase is Phase.REQUEST
    assert not bench.device.status().enrolled
    bench.server.faults.clear()
    bench.device.enroll(bench.plan)
    assert key_bytes(bench) == made
    bench.require_sound()


def test_wrong_password_then_the_right_one(bench) -> None:
    wrong = Credentials(bench.server.user, Secret("wrong"))
    with pytest.raises(AuthenticationRequiredError):
        bench.device.enroll(bench.planned(credentials=wrong))
    made = key_bytes(bench)
    bench.device.enroll(bench.plan)
    assert key_bytes(bench) == made


def test_a_half_made_key_of_another_type_is_replaced(bench) -> None:
    bench.server.faults.parse("status=503@simpleenroll")
    with pytest.raises(HttpStatusError):
        bench.device.enroll(bench.plan)
    bench.server.faults.clear()
    bench.server.policy.csrattrs = [P384_ATTRIBUTE]
    outcome = bench.device.enroll(bench.plan)
    assert KeyType.of(outcome.certificate.public_key()) is KeyType.EC_P384
    assert bench.key_files() == ["device.pem"]
    bench.require_sound()


def test_another_name_for_a_half_made_key_leaves_no_orphan(bench) -> None:
    bench.server.faults.parse("status=503@simpleenroll")
    with pytest.raises(HttpStatusError):
        bench.device.enroll(bench.plan)
    bench.server.faults.clear()
    bench.device.enroll(bench.planned(key_uri=f"file:{bench.keys}/renamed.pem"))
    assert bench.key_files() == ["renamed.pem"]
    bench.require_sound()


def test_abandoning_destroys_the_key_that_was_made_for_it(bench) -> None:
    bench.server.faults.parse("status=503@simpleenroll")
    with pytest.raises(HttpStatusError):
        bench.device.enroll(bench.plan)
    assert bench.device.abandon() is True
    assert bench.key_files() == []
    assert bench.device.abandon() is False
    assert bench.device.state.check() == ()


def test_somebody_elses_key_is_not_taken_unasked_and_never_destroyed(bench) -> None:
    registry.create_key(bench.key_uri, KeyType.EC_P256).close()
    before = key_bytes(bench)
    with pytest.raises(KeyExistsError):
        bench.device.enroll(bench.plan)
    assert bench.device.state.journal() is None
    bench.server.faults.parse("status=503@simpleenroll")
    with pytest.raises(HttpStatusError):
        bench.device.enroll(bench.planned(reuse_key=True))
    assert bench.device.abandon()
    assert key_bytes(bench) == before
    bench.server.faults.clear()
    bench.device.enroll(bench.planned(reuse_key=True))
    bench.device.renew()
    assert key_bytes(bench) == before, "a key from elsewhere outlives its replacement"
    assert bench.key_files() == ["device-2.pem", "device.pem"]


def test_enrolled_again_with_its_own_key_by_another_name(bench) -> None:
    """The replaced pair has the very key that was certified now: one key has many names, and is told by itself."""
    bench.device.enroll(bench.plan)
    linked = bench.keys.with_name("linked")
    linked.symlink_to(bench.keys)
    bench.device.enroll(bench.planned(key_uri=f"file:{linked}/device.pem", reuse_key=True, again=True))
    bench.require_sound()


def test_a_key_of_another_type_is_not_reused(bench) -> None:
    registry.create_key(bench.key_uri, KeyType.EC_P256).close()
    with pytest.raises(KeyExistsError, match=r"ec-p256, not rsa-2048"):
        bench.device.enroll(bench.planned(reuse_key=True, key_type=KeyType.RSA_2048))


def test_pending_is_kept_and_goes_on_with_the_same_key(bench, clock) -> None:
    """EST-161 to EST-164: Retry-After is kept to over restarts."""
    bench.server.policy.require_approval = True
    bench.server.policy.retry_after_s = 600
    with pytest.raises(EnrolmentPendingError) as caught:
        bench.device.enroll(bench.plan)
    assert caught.value.retry_after_s == 600
    journal = bench.device.state.journal()
    assert (journal.operation, journal.phase) == (Operation.ENROLL, Phase.PENDING)
    made, asked = key_bytes(bench), len(bench.server.log())

    clock.offset_s += 500
    with pytest.raises(EnrolmentPendingError, match="left alone"):
        Device(bench.device.state.path, clock=clock).enroll(bench.plan)
    assert len(bench.server.log()) == asked, "too early to ask again"

    bench.server.est.queue.decide(None, approve=True)
    clock.offset_s += 101
    outcome = Device(bench.device.state.path, clock=clock).enroll(bench.plan)
    assert key_bytes(bench) == made
    assert len(bench.server.est.queue.entries()) == 0
    assert outcome.changed
    bench.require_sound()


def test_waiting_for_approval_within_one_call(bench, clock) -> None:
    bench.server.policy.require_approval = True
    bench.server.policy.retry_after_s = 20
    clock.on_sleep = lambda: bench.server.est.queue.decide(None, approve=len(clock.slept) > 1)
    bench.server.est.queue.decide = _only_approvals(bench.server.est.queue.decide)
    bench.device.enroll(bench.planned(wait_s=100))
    assert clock.slept == [20, 20]
    bench.require_sound()


def _only_approvals(decide):
    return lambda number, *, approve: decide(number, approve=True) if approve else 0


def test_pending_and_a_clock_that_was_set_back(bench, clock) -> None:
    bench.server.policy.require_approval = True
    bench.server.policy.retry_after_s = 600
    clock.offset_s = 240
    with pytest.raises(EnrolmentPendingError):
        bench.device.enroll(bench.plan)
    bench.server.est.queue.decide(None, approve=True)
    clock.offset_s = 0
    bench.device.enroll(bench.plan)
    bench.require_sound()


def test_a_denied_request_is_an_error_and_the_key_stays_for_the_next_try(bench, clock) -> None:
    """EST-174: the request is what /csrattrs asks for, and the server may refuse it all the same."""
    bench.server.policy.require_approval = True
    with pytest.raises(EnrolmentPendingError):
        bench.device.enroll(bench.plan)
    bench.server.est.queue.decide(None, approve=False)
    clock.offset_s += 2
    with pytest.raises(HttpStatusError, match="denied") as caught:
        bench.device.enroll(bench.plan)
    assert caught.value.status_code == 403
    assert bench.key_files() == ["device.pem"]


def test_a_clock_in_1970_asks_nobody(bench, clock) -> None:
    clock.offset_s = -timedelta(days=365 * 50).total_seconds()
    with pytest.raises(ClockError):
        bench.device.enroll(bench.plan)
    assert bench.server.connections == 0
    assert bench.key_files() == []


def test_the_time_floor_outlives_a_dead_battery(bench, clock) -> None:
    bench.device.enroll(bench.plan)
    clock.offset_s = -3600
    for call in (bench.device.renew, bench.device.needs_renewal, lambda: bench.device.enroll(bench.plan)):
        with pytest.raises(ClockError):
            call()


def test_no_key_is_made_where_its_name_cannot_be_kept(bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateNotWritableError):
        Device(tmp_path / "file" / "state", clock=bench.clock).enroll(bench.plan)
    assert bench.key_files() == []
    assert bench.server.connections == 0


def test_not_enrolled_is_said_with_what_is_under_way(bench) -> None:
    for call in (bench.device.renew, bench.device.needs_renewal, bench.device.key, lambda: bench.device.certificate):
        with pytest.raises(StateError, match="not enrolled"):
            call()
    bench.server.policy.require_approval = True
    with pytest.raises(EnrolmentPendingError):
        bench.device.enroll(bench.plan)
    with pytest.raises(StateError, match="under way since"):
        bench.device.needs_renewal()


def test_the_certificate_is_for_what_was_asked(bench) -> None:
    outcome = bench.device.enroll(bench.plan)
    assert outcome.certificate.subject == bench.plan.spec.subject
    assert isinstance(outcome.certificate.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(outcome.certificate, x509.Certificate)
