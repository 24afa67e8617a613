"""A sync that is killed while it stores keys and installs firmware: each is there whole, and the server hears of each (section 13 of the profile)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import Device
from tests.cli.test_contract_symmetric_keys import key_file
from tests.device.crash_launcher import deliveries_of
from tests.simulators.packages.conftest import publish

pytestmark = pytest.mark.slow

HARDWARE = "1.3.6.1.4.1.32473.1"
IMAGE = b"\x7fELF" + bytes(range(256)) * 40
EVERY = 17


class Scene:
    """A device for which keys and firmware are published, to whose beginning one can go back."""

    def __init__(self, server: ReferenceServer, spec: dict[str, str], runner, directory: Path) -> None:
        self.server, self.runner, self.directory = server, runner, directory
        self.spec = spec | {
            "keys_to": str(directory / "stored"),
            "image": str(directory / "firmware" / "image"),
            "keys_anchors": f"{server.state}/keys-ca/root.pem",
            "firmware_anchors": f"{server.state}/firmware-ca/anchors.pem",
            "hardware": HARDWARE,
        }
        runner.finish("enroll", spec)
        self.device = Device(spec["state"])
        serial = f"{self.device.certificate.serial_number:x}"
        new = directory / "new-image"
        new.write_bytes(IMAGE)
        publish(server, "keys", key_file(directory), serial, "--receipt")
        publish(server, "firmware", new, serial, "--package", "1.3.6.1.4.1.32473.7", "--hw-type", HARDWARE)
        shutil.copytree(self.device.state.path, directory / "saved", symlinks=True)

    def restore(self) -> None:
        """As it was before anything came."""
        shutil.rmtree(self.device.state.path)
        shutil.copytree(self.directory / "saved", self.device.state.path, symlinks=True)
        for name in ("stored", "firmware"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
            (self.directory / name).mkdir(mode=0o700)

    def receipts(self) -> tuple[int, int]:
        """How many the server got about keys and about firmware; no error among them."""
        keys = self.server.est.packages.key_returns.overview()
        firmware = self.server.est.packages.shelf._database.rows("SELECT code FROM firmware_reports")
        assert {one["kind"] for one in keys} <= {"receipt"}
        assert {row["code"] for row in firmware} <= {0}
        return len(keys), len(firmware)

    def require_end(self) -> None:
        stored = [json.loads(path.read_text()) for path in Path(self.spec["keys_to"]).iterdir()]
        assert sorted(one["key_id"] for one in stored) == ["door", "meter/1"]
        assert [path.read_bytes() for path in Path(self.spec["image"]).parent.iterdir()] == [IMAGE]
        state = self.device.state
        assert (state.outbox.pending(), state.outbox.held(), state.packages.journal()) == ((), (), None)
        assert state.check() == ()


def test_kr_06_fr_06_killed_here_and_there(est_server, spec, file_keys, runner, tmp_path) -> None:
    scene = Scene(est_server, spec, runner, tmp_path)
    scene.restore()
    events = scene.runner.finish("sync", scene.spec)
    scene.require_end()
    assert scene.receipts() == (1, 1)
    twice, rounds, held, waiting = 0, 0, 0, 0
    # what comes before the first package was tried in test_killed_sync.py
    for number in range(events // 4, events + 1, EVERY):
        scene.restore()
        before = scene.receipts()
        scene.runner.run("sync", scene.spec, number)
        outbox = scene.device.state.outbox
        held, waiting, rounds = held + bool(outbox.held()), waiting + bool(outbox.pending()), rounds + 1
        report = scene.device.sync(deliveries=deliveries_of(scene.spec))
        assert not report.failed, (number, report)
        scene.require_end()
        for old, new in zip(before, scene.receipts(), strict=True):
            assert new - old in (1, 2), number
            twice += new - old - 1
    assert held, "no run died while it was open whether something had happened"
    assert waiting, "no run died between a change and its receipt"
    assert twice <= rounds // 4, "only who dies while the server answers says it twice"
