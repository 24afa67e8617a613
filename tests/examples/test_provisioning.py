"""examples/provisioning: the profile provisions simulated boards, as its README says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan
from device_sdk_simulators.server import ReferenceServer

from tests import warm

EXAMPLE = Path(__file__).parents[2] / "examples" / "provisioning"


def _ok(module: str, *words: str, directory: Path) -> str:
    done = warm.run(["-m", module, *words], cwd=directory, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return str(done.stdout)


@pytest.mark.slow
def test_the_bench_without_boards(tmp_path: Path) -> None:
    here = tmp_path / "bench"
    shutil.copytree(EXAMPLE, here)
    commands = re.search(r"```\n(.*?)```", (here / "README.md").read_text(), re.DOTALL)
    assert commands is not None
    said = [
        line.split(" #")[0].rstrip(" &").split() for line in commands[1].splitlines() if line.startswith("device-sdk")
    ]
    with ReferenceServer(here / "server") as server:
        text = (here / "board.toml").read_text().replace("localhost:8443", f"localhost:{server.port}")
        (here / "board.toml").write_text(text)
        plan = FleetPlan(devices=2, lines=2, listen=here / "lines")
        authority, plan_words, run_words, verify = (said[number] for number in (1, 3, 4, 5))
        _ok("device_sdk_simulators.cli.main", *authority[1:], directory=here)
        with Fleet(plan) as fleet:
            assert "issue" in _ok("device_sdk.cli.main", *plan_words[1:], directory=here)
            run_words[run_words.index("12")] = "2"
            said_by_run = _ok("device_sdk.cli.main", *run_words[1:], directory=here)
            report = fleet.report()
    assert "done: 2 provisioned, 0 failed" in said_by_run
    assert "whole:" in _ok("device_sdk.cli.main", *verify[1:], directory=here)
    labels = {f"{one['serial_number']} sha256:{one['certificates'][-1]}" for one in report["members"]}
    assert set((here / "labels.txt").read_text().splitlines()) == labels
