"""A sync that is killed while it gets a certificate for key establishment, or renews it: one key, and the one certificate of it (N-01)."""

from __future__ import annotations

import shutil

import pytest

from device_sdk.client.device import Device
from device_sdk.keystores import registry
from tests.device.crash_launcher import deliveries_of

pytestmark = pytest.mark.slow

DEATHS = 8


@pytest.mark.parametrize("first", [True, False], ids=["got", "renewed"])
def test_n_01_killed_here_and_there(est_server, spec, file_keys, runner, tmp_path, first) -> None:
    runner.finish("enroll", spec)
    keys = tmp_path / "establishing"
    keys.mkdir(mode=0o700)
    spec |= {"establishing": f"file:{keys}/key.pem"}
    device, saved = Device(spec["state"]), tmp_path / "saved"
    est_server.policy.key_establishment = True
    if not first:
        runner.finish("sync", spec)
    # the one for signatures is renewed, too: that it is in use does not matter
    est_server.policy.pal_renewal = 1.0 if first else 0.0
    for place, name in ((device.state.path, "state"), (keys, "keys"), (tmp_path / "keys", "main")):
        if place.exists():
            shutil.copytree(place, saved / name, symlinks=True)

    def restore() -> None:
        for place, name in ((device.state.path, "state"), (keys, "keys"), (tmp_path / "keys", "main")):
            if (saved / name).exists():
                shutil.rmtree(place)
                shutil.copytree(saved / name, place, symlinks=True)
        database = est_server.est.register
        for entry in database.entries():
            if entry["serial"] not in known:
                database.revoke(entry["serial"])

    def require_end() -> None:
        second = device.state.key_establishment
        state, chain, _ = second.snapshot()
        assert (second.journal(), device.state.check()) == (None, ())
        assert state.current is not None
        with registry.open_key(state.current.key_uri) as key:
            assert key.public_key() == chain[0].public_key()
        assert len(list(keys.glob("*.pem"))) == 1 + len(state.previous), "no key is left over"

    known = {entry["serial"] for entry in est_server.est.register.entries()}
    events = runner.counted("sync", spec)
    require_end()
    for number in range(events // 3, events, max(1, events // DEATHS)):
        restore()
        runner.run("sync", spec, number)
        report = device.sync(deliveries=deliveries_of(spec))
        assert not report.failed, (number, report)
        if second_is_missing(device):
            report = device.sync(deliveries=deliveries_of(spec))
        require_end()


def second_is_missing(device: Device) -> bool:
    return not device.key_establishment_chain
