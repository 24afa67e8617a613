"""Messages about trust anchors, killed anywhere: done once, answered, and never answered before it is done (T-07, TR-04).

Runs die by SIGKILL at the N-th event (crash_launcher.py), as in test_killed.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from device_sdk_simulators.cli.main import main as sim
from device_sdk_simulators.server import ReferenceServer

from device_sdk.cli.main import main
from device_sdk.client.device import Device

pytestmark = pytest.mark.slow


class Scene:
    """A device whose anchors are managed; every message lets it join one community more."""

    def __init__(self, server: ReferenceServer, spec: dict[str, str], runner, capsys, directory: Path) -> None:
        self.server, self.spec, self.runner, self.capsys = server, spec, runner, capsys
        runner.finish("enroll", spec)
        self.device = Device(spec["state"])
        self.server_does("tamp", "anchors", "--out", str(directory / "factory"))
        apex = str(directory / "factory" / "apex.der")
        assert main(["anchors", "import", apex, "--role", "apex", "--state", spec["state"]]) == 0

    def server_does(self, *words: str) -> None:
        assert sim([*words, "--state", str(self.server.state), "--json"]) == 0
        self.capsys.readouterr()

    def publish(self, community: str) -> None:
        serial = f"{self.device.certificate.serial_number:x}"
        self.server_does("publish", "tamp", "community-update", "--join", community, "--to", serial)

    def answers(self) -> list[str]:
        return [json.dumps([one["answer"], list(one["statuses"])]) for one in self.server.log() if one.get("answer")]

    def communities(self) -> tuple[str, ...]:
        return self.device.state.managed.load().communities


@pytest.fixture
def scene(est_server: ReferenceServer, spec, file_keys, runner, capsys, tmp_path: Path) -> Scene:
    return Scene(est_server, spec, runner, capsys, tmp_path)


def test_t_07_killed_anywhere(scene: Scene) -> None:
    scene.publish("1.2.0")
    events = scene.runner.counted("manage", scene.spec)
    seen = set()
    for number in range(1, events + 1, 2):
        generation, said = scene.device.state.managed.load().generation, len(scene.answers())
        scene.publish(f"1.2.{number}")
        scene.runner.run("manage", scene.spec, number)
        done = f"1.2.{number}" in scene.communities()
        told = len(scene.answers()) - said
        assert done or not told, "answered before it was done"
        seen.add((done, bool(told)))
        while scene.device.manage_anchors() is not None:
            pass
        assert scene.communities()[-1] == f"1.2.{number}"
        assert scene.device.state.managed.load().generation == generation + 1, "done twice"
        answers = scene.answers()[said:]
        assert set(answers) == {'["confirm", [0]]'}, f"lost, or not what was done: {answers}"
        assert len(answers) <= 2, "told again, although the server took it"
        assert scene.device.state.outbox.pending() == scene.device.state.outbox.held() == ()
    assert {(False, False), (True, False)} <= seen
    assert scene.device.state.check() == ()
