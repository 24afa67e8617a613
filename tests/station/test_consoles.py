"""Devices at their consoles: login, shell and the verbs of the bench, from a login prompt to a certificate that was proved."""

from __future__ import annotations

import pytest
from device_sdk_simulators.serial.console.device import ConsoleStyle
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan


def _consoles(lab, tmp_path, password: str) -> FleetPlan:
    (tmp_path / "password").write_text("geheim\n")
    lab.real_lines = True
    lab.lines_text = f'globs = ["{tmp_path}/lines/tty*"]'
    lab.talk = f'way = "console"\nuser = "root"\npassword_file = "{tmp_path}/password"'
    style = ConsoleStyle(password=password)
    return FleetPlan(
        devices=2, listen=tmp_path / "lines", way="console", console=style, disks=tmp_path / "disks", seed=len(password)
    )


@pytest.mark.slow
def test_devices_at_their_consoles(lab, tmp_path):
    lab.more = '[[steps.after]]\nname = "test"\non = "device"\ncommand = ["sh", "-c", "echo it was geheim"]'
    with Fleet(_consoles(lab, tmp_path, "geheim")) as fleet:
        tally = lab.run()
        report = fleet.report()
    assert (tally.provisioned, tally.failed) == (2, 0), lab.told("device-failed")
    for member in report["members"]:
        record = lab.record_of(member["serial_number"])
        assert record.facts["certificate_sha256"] == member["certificates"][-1]
        assert record.steps["after:test"] == "done"
        steps = lab.entries(kind="step", device=member["serial_number"])
        assert [one.facts["output"] for one in steps if one.step == "after:test" and one.outcome == "done"] == [
            "it was ***"
        ]
    assert "geheim" not in lab.ledger_text()


@pytest.mark.slow
def test_a_login_that_is_refused_is_tried_once(lab, tmp_path):
    with Fleet(_consoles(lab, tmp_path, "another one")) as fleet:
        assert lab.run().failed == 2
        assert all(member["state"] in ("touched", "untouched") for member in fleet.report()["members"])
    for entry in lab.entries(kind="failed"):
        assert entry.facts["code"] == "login-refused"
        assert (
            "Login incorrect" in entry.facts["excerpt"] or "incorrect" in entry.facts["reason"] + entry.facts["excerpt"]
        )
    assert lab.told("retrying") == []
    assert "geheim" not in lab.ledger_text()
