"""Devices on real lines that go wrong, all at once: each ends provisioned, or failed with a reason; none is called done wrongly."""

from __future__ import annotations

import pytest
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FATAL, FleetPlan

from device_sdk.errors import LineInUseError
from device_sdk.transports.serial import open_line

BEFALL = (
    "noise", "overrun", "kernel", "cut-anywhere", "reset-after", "cut", "html", "escapes", "wrong-baud", "version",
    "endless", "long-line", "bad-proof", "other-csr", "bad-json", "refuse", "replay",
)  # fmt: skip


@pytest.mark.slow
def test_what_befalls_devices_on_their_lines(lab, tmp_path):
    plan = FleetPlan(
        devices=len(BEFALL),
        listen=tmp_path / "lines",
        only=dict(enumerate(BEFALL)),
        seed=4,
        linger_s=60,
        baud=115200,
    )
    lab.real_lines = True
    lab.lines_text = f'globs = ["{tmp_path}/lines/tty*"]'
    lab.limits = "step_s = 20\n[limits.steps]\nopen = 10\nidentify = 20"
    with Fleet(plan) as fleet:
        lab.run()
        report = fleet.report()
    assert report["provisioned_twice"] == []
    reasons = {event.line: event for event in lab.told("device-failed")}
    for member in report["members"]:
        line = str(tmp_path / "lines" / member["line"])
        record = lab.record_of(member["said_serial"])
        provisioned = record is not None and record.state == "provisioned"
        assert provisioned or reasons[line].reason, member
        assert provisioned != (line in reasons), member
        if member["misfortune"] in FATAL:
            assert not provisioned, member
        if member["misfortune"] == "endless":
            assert "octets that are no answer came meanwhile" in reasons[line].reason
        if provisioned:
            assert member["state"] == "proved"
            assert record.facts["certificate_sha256"] == member["certificates"][-1]
    unharmed = {"noise", "kernel", "cut-anywhere", "reset-after", "cut", "html", "escapes", "replay"}
    failed = {
        member["misfortune"] for member in report["members"] if str(tmp_path / "lines" / member["line"]) in reasons
    }
    assert not failed & unharmed, [event.reason for event in reasons.values()]
    for entry in lab.entries(kind="failed"):
        text = str(dict(entry.facts))
        assert "\x1b" not in text
        assert len(str(entry.facts.get("excerpt", ""))) <= 2000


def test_two_stations_on_one_line(lab, tmp_path):
    plan = FleetPlan(devices=1, listen=tmp_path / "lines", seed=5)
    lab.real_lines = True
    lab.lines_text = f'globs = ["{tmp_path}/lines/tty*"]'
    with Fleet(plan) as fleet, open_line(fleet.lines()[0]["url"]):
        assert lab.run().failed == 1
    assert "is in use by" in lab.failure()["reason"]
    assert lab.failure()["code"] == LineInUseError.code
