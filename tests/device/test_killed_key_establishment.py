"""A sync that is killed while it gets a certificate for key establishment, or renews it: one key, and the one certificate of it (N-01)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from device_sdk.client.device import Device
from device_sdk.keystores import registry
from tests.device.crash_launcher import deliveries_of

pytestmark = pytest.mark.slow

DEATHS = 8


class Scene:
    """A device before its sync, to which one can go back."""

    def __init__(self, server, device: Device, keys: Path, directory: Path) -> None:
        self.device, self.keys = device, keys
        self._register = server.est.register
        self._places = {device.state.path: "state", keys: "establishing", directory / "keys": "keys"}
        self._saved = directory / "saved"
        for place, name in self._places.items():
            shutil.copytree(place, self._saved / name, symlinks=True)
        self._known = {entry["serial"] for entry in self._register.entries()}

    def restore(self) -> None:
        for place, name in self._places.items():
            shutil.rmtree(place)
            shutil.copytree(self._saved / name, place, symlinks=True)
        for serial in {entry["serial"] for entry in self._register.entries()} - self._known:
            self._register.revoke(serial)

    def require_end(self) -> None:
        second = self.device.state.key_establishment
        state, chain, _ = second.snapshot()
        assert (second.journal(), self.device.state.check()) == (None, ())
        assert state.current is not None
        with registry.open_key(state.current.key_uri) as key:
            assert key.public_key() == chain[0].public_key()
        assert len(list(self.keys.glob("*.pem"))) == 1 + len(state.previous), "no key is left over"


@pytest.mark.parametrize("first", [True, False], ids=["got", "renewed"])
def test_n_01_killed_here_and_there(est_server, spec, file_keys, runner, tmp_path, first) -> None:
    """The next run goes on, with the same key, or with the result that the server kept."""
    runner.finish("enroll", spec)
    keys = tmp_path / "establishing"
    keys.mkdir(mode=0o700)
    spec |= {"establishing": f"file:{keys}/key.pem"}
    est_server.policy.key_establishment = True
    if not first:
        runner.finish("sync", spec)
    # the one for signatures is renewed, too: that it is in use does not matter
    est_server.policy.pal_renewal = 1.0 if first else 0.0
    scene = Scene(est_server, Device(spec["state"]), keys, tmp_path)
    events = runner.counted("sync", spec)
    scene.require_end()
    for number in range(events // 3, events, max(1, events // DEATHS)):
        scene.restore()
        runner.run("sync", spec, number)
        report = scene.device.sync(deliveries=deliveries_of(spec))
        assert not report.failed, (number, report)
        scene.require_end()
