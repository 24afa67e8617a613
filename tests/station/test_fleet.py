"""Devices on real pseudo terminals, one after the other: what the ledger, the devices and the server say is one story."""

from __future__ import annotations

import pytest
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan


def _one_story(lab, fleet, *, mode="relay"):
    """What the ledger says of each device is what happened to it, and what the server has written down."""
    report = fleet.report()
    assert report["provisioned_twice"] == []
    for member in report["members"]:
        record = lab.record_of(member["said_serial"])
        assert record is not None, member
        assert record.state in ("provisioned", "failed"), (record, member)
        if record.state == "provisioned":
            assert mode == "configure" or record.facts["certificate_sha256"] == member["certificates"][-1]
            assert member["state"] == ("configured" if mode == "configure" else "proved")
        else:
            assert record.reason
        assert lab.issued_to(member["serial_number"]) <= 1
    return report


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["relay", "self"])
def test_twelve_devices_on_four_lines_by_their_agents(lab, tmp_path, mode):
    plan = FleetPlan(
        devices=12,
        lines=4,
        listen=tmp_path / "lines",
        swap_s=0.05,
        linger_s=0.5,
        seed=1000 + len(mode),
        password=lab.shop.server.password,
    )
    lab.mode, lab.real_lines = mode, True
    lab.lines_text = f'globs = ["{tmp_path}/lines/tty*"]'
    with Fleet(plan) as fleet:
        tally = lab.run(once=False, devices=12)
        report = _one_story(lab, fleet, mode=mode)
    assert (tally.provisioned, tally.failed) == (12, 0), lab.told("device-failed")
    assert len(report["members"]) == 12
