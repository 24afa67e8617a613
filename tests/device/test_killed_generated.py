"""A sync that is killed while it takes a key of the server's making: key and certificate end up together, and confirmed (AR-01)."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest
from cryptography import x509
from device_sdk_simulators.packages.sealed_returns import package_authority

from device_sdk.client.device import Device
from device_sdk.keystores import registry
from tests.device.crash_launcher import deliveries_of

pytestmark = pytest.mark.slow

DEATHS = 9


def test_ar_01_killed_here_and_there(est_server, spec, file_keys, runner, tmp_path) -> None:
    """Nothing is asked of the server again once the key is stored, and its receipt arrives; by Full CMC, every other time."""
    est_server.policy.fullcmc = True
    policy, returns = est_server.policy, est_server.est.server_keys.returns
    policy.serverkeygen, policy.serverkeygen_form, policy.serverkeygen_receipts = {"certificate"}, "signed", True
    package_authority(est_server.state, datetime.now(UTC))
    place = tmp_path / "made"
    runner.finish("enroll", spec)
    spec |= {"generated": str(place), "keys_anchors": f"{est_server.state}/keys-ca/root.pem"}
    device = Device(spec["state"])
    saved = tmp_path / "saved"
    shutil.copytree(device.state.path, saved, symlinks=True)

    def restore(operation: str = "serverkeygen") -> None:
        shutil.rmtree(device.state.path)
        shutil.copytree(saved, device.state.path, symlinks=True)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        address = f"cert:{device.certificate.serial_number:x}"
        shelf, now = est_server.est.packages.shelf, est_server.clock()
        for one in shelf.overview():
            shelf.withdraw(one["item"])
        shelf.publish(operation, "0021", b"", media_type="", address=address, label="", now=now)

    def require_end() -> str:
        (certificate,) = x509.load_pem_x509_certificates((place / "certificate.pem").read_bytes())[:1]
        with registry.open_key(f"file:{place}/key.pem", allow_imported=True) as key:
            assert key.public_key() == certificate.public_key()
        assert sorted(path.name for path in place.iterdir()) == ["certificate.pem", "key.pem"]
        assert (device.state.outbox.pending(), device.state.outbox.held(), device.state.check()) == ((), (), ())
        item = f"serverkeygen:{certificate.serial_number:x}"
        assert [one["kind"] for one in returns.overview() if one["item"] == item][:1] == ["receipt"]
        return item

    restore()
    events = runner.counted("sync", spec)
    require_end()
    finished = 0
    for count, number in enumerate(range(events // 2, events, max(1, events // 2 // DEATHS))):
        restore("fullcmc" if count % 2 else "serverkeygen")
        runner.run("sync", spec, number)
        stored = (place / "key.pem").exists()
        issued = len(est_server.est.register.entries())
        report = device.sync(deliveries=deliveries_of(spec))
        assert not report.failed, (number, report)
        require_end()
        made = len(est_server.est.register.entries()) - issued
        assert made == (0 if stored else 1), number
        finished += stored
    assert 0 < finished < DEATHS, "runs died before and after the key was stored"
