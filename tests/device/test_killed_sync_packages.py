"""A sync that is killed while it stores keys, installs firmware and does what a message about trust anchors says.

Each is there whole and is done once, and the server hears of each (section 13 of the profile).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from device_sdk_simulators.cli.main import main as sim
from device_sdk_simulators.server import ReferenceServer

from device_sdk.cli.main import main as device_sdk
from device_sdk.client.device import Device
from tests.cli.test_contract_symmetric_keys import key_file
from tests.device.crash_launcher import deliveries_of
from tests.simulators.packages.conftest import publish

pytestmark = pytest.mark.slow

HARDWARE = "1.3.6.1.4.1.32473.1"
IMAGE = b"\x7fELF" + bytes(range(256)) * 40
EVERY = 37


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
        self.serial = serial
        self.sim("tamp", "anchors", "--out", str(directory / "factory"))
        words = ("anchors", "import", f"{directory}/factory/apex.der", "--role", "apex", "--hw-type", HARDWARE)
        assert device_sdk([*words, "--hw-serial", "00a1", "--state", spec["state"]]) == 0
        shutil.copytree(self.device.state.path, directory / "saved", symlinks=True)

    def sim(self, *words: str) -> None:
        assert sim([*words, "--state", str(self.server.state)]) == 0

    def restore(self) -> None:
        """As it was before anything came; the server has a new message, as it does not offer one that was answered."""
        self.sim("publish", "tamp", "update", "--add", "identity", "--to", self.serial)
        shutil.rmtree(self.device.state.path)
        shutil.copytree(self.directory / "saved", self.device.state.path, symlinks=True)
        for name in ("stored", "firmware"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
            (self.directory / name).mkdir(mode=0o700)

    def receipts(self) -> tuple[int, int, int]:
        """How many the server got about keys, about firmware and about messages; no error among them."""
        keys = self.server.est.packages.key_returns.overview()
        firmware = self.server.est.packages.shelf._database.rows("SELECT code FROM firmware_reports")
        assert {one["kind"] for one in keys} <= {"receipt"}
        assert {row["code"] for row in firmware} <= {0}
        posted = (str(one["path"]) for one in self.server.log() if one["status"] == 204)
        taken = Counter(path.split("/")[-2] for path in posted if path.endswith("/return"))
        answers = [one for one in self.server.log() if one.get("answer")]
        assert {(str(one["answer"]), *one["statuses"]) for one in answers} <= {("confirm", 0)}  # type: ignore[misc]
        return taken["symmetrickeys"], taken["firmware"], len(answers)

    def require_end(self) -> None:
        stored = [json.loads(path.read_text()) for path in Path(self.spec["keys_to"]).iterdir()]
        assert sorted(one["key_id"] for one in stored) == ["door", "meter/1"]
        assert [path.read_bytes() for path in Path(self.spec["image"]).parent.iterdir()] == [IMAGE]
        assert len(self.device.anchors) == 2
        state = self.device.state
        assert state.managed.load().generation == 2, "done once"
        assert (state.outbox.pending(), state.outbox.held(), state.packages.journal()) == ((), (), None)
        assert state.check() == ()


def test_kr_06_fr_06_killed_here_and_there(est_server, spec, file_keys, runner, tmp_path) -> None:
    scene = Scene(est_server, spec, runner, tmp_path)
    scene.restore()
    events = scene.runner.counted("sync", scene.spec)
    scene.require_end()
    assert scene.receipts() == (1, 1, 1)
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


def test_a_disk_that_is_full_leaves_nothing_half(est_server, spec, file_keys, runner, tmp_path) -> None:
    """No room for the first note, or for a message with its certificates; the next run finds room and does it all."""
    scene = Scene(est_server, spec, runner, tmp_path)
    for limit in (0, 1500):
        scene.restore()
        scene.runner.run("sync", scene.spec | {"file_size": str(limit)})
        assert not [one for one in Path(scene.spec["image"]).parent.iterdir() if one.read_bytes() != IMAGE]
        assert scene.device.state.check() == ()
        report = scene.device.sync(deliveries=deliveries_of(scene.spec))
        assert not report.failed, (limit, report)
        scene.require_end()
