"""Fleets of simulated devices, as a station meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan

from tests.simulators.serial.station import Station

Provision = Callable[[Station], dict[str, Any]]


@pytest.mark.parametrize("listen", ["pty", "tcp"])
def test_devices_follow_each_other_on_a_line(listen: str, tmp_path: Path, provision: Provision) -> None:
    plan = FleetPlan(devices=3, lines=1, listen=tmp_path / "lines" if listen == "pty" else "tcp", swap_s=0.05, seed=7)
    seen = {}
    with Fleet(plan) as fleet:
        for number in range(3):
            while (line := fleet.lines()[0])["device"] != plan.serial_number(number):
                assert not fleet.finished.is_set()
            with Station(line["url"]) as station:
                facts = provision(station)
            seen[facts["serial_number"]] = facts["certificate"]
        assert fleet.wait(60)
        assert not list(tmp_path.glob("lines/*"))
        report = fleet.report()
    assert report["states"] == {"proved": 3}
    assert report["provisioned_twice"] == []
    assert {one["serial_number"]: one["certificates"][-1] for one in report["members"]} == seen
    assert len(seen) == 3
