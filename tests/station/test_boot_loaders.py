"""Boards with a boot loader: what is to be set there is set in the boot that they are provisioned in, or they are not."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from device_sdk_simulators.serial.console.device import ConsoleStyle
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan

from device_sdk.client.bench import DeviceFacts
from device_sdk.errors import WrongDeviceError
from device_sdk.station.profile.lines import TalkTable
from device_sdk.station.run.boot import about_boot, compare_boot

BOOTARGS = "console=ttyS0 root=/dev/x;y"
FACTS = DeviceFacts("SN-1", ("02:00:5e:10:00:01", "02:00:5e:10:00:02"))


def _boards(lab, tmp_path, *, boot_loader: bool, started: bool = False, **plan: object) -> FleetPlan:
    lab.real_lines = True
    lab.lines_text = f'globs = ["{tmp_path}/lines/tty*"]'
    lab.talk = f'way = "console"\nuser = "root"\nuboot = true\n[talk.uboot_variables]\nbootargs = "{BOOTARGS}"'
    lab.more = '[[steps.after]]\nname = "test"\non = "station"\ncommand = ["test", "${extra.boot-loader.ethaddr}", "=", "${mac}"]'
    style = ConsoleStyle(
        boot_loader=boot_loader, second_s=10.0, boot_prompt="Tegra124 (Jetson TK1) # ", started=started
    )
    return FleetPlan(listen=tmp_path / "lines", way="console", console=style, disks=tmp_path / "disks", **plan)


@pytest.mark.slow
def test_variables_are_set_in_every_boot(lab, tmp_path):
    with Fleet(_boards(lab, tmp_path, boot_loader=True, devices=2, only={0: "reset-after"}, seed=2)) as fleet:
        tally = lab.run()
        members = fleet.report()["members"]
    assert (tally.provisioned, tally.failed) == (2, 0), lab.told("device-failed")
    for member, boots in zip(members, (2, 1), strict=True):
        booted = [event[2] for event in member["events"] if event[0] == "booted"]
        assert booted == [BOOTARGS] * boots
        for entry in lab.entries(device=member["serial_number"]):
            if entry.kind in ("seen", "provisioned"):
                said = entry.facts["boot_loader"]
                assert (said["serial#"], entry.facts["boot_loader_set"]) == (member["serial_number"], ["bootargs"])
                assert said["ethaddr"] in entry.facts["macs"]


@pytest.mark.slow
def test_a_board_that_has_started_already_is_not_provisioned_before_it_is_started_anew(lab, tmp_path):
    def restart() -> None:
        while not (missed.wait(0.05) or done.is_set()):
            if any(one.kind == "waiting" for one in lab.events):
                missed.set()
        fleet.restart("ttySIM0")

    missed, done = threading.Event(), threading.Event()
    plan = _boards(lab, tmp_path, boot_loader=True, started=True, devices=1, linger_s=600)
    lab.lines_text += "\nwatch = true"
    with Fleet(plan) as fleet:
        hand = threading.Thread(target=restart)
        hand.start()
        try:
            tally = lab.run(devices=2, once=False)
        finally:
            done.set()
            hand.join()
    assert (tally.provisioned, tally.failed) == (1, 1), lab.told("device-failed")
    (failure,) = lab.entries(kind="failed")
    assert failure.outcome == "boot-loader-missed"
    assert "bootargs not set (switch it off and on again" in failure.facts["reason"]
    assert next(one.facts["boot_loader"] for one in lab.entries(kind="seen")) == "not met"
    (provisioned,) = lab.entries(kind="provisioned")
    assert provisioned.device == failure.device
    assert provisioned.facts["boot_loader_set"] == ["bootargs"]


@pytest.mark.slow
def test_a_login_that_is_refused_after_a_countdown_is_tried_once(lab, tmp_path):
    """Somebody is switched on where another device was done: what it says is told as if it had been asked in turn."""
    (tmp_path / "password").write_text("geheim\n")
    plan = _boards(lab, tmp_path, boot_loader=True, started=True, devices=1, linger_s=600)
    plan.console = replace(plan.console, password="geheim")
    lab.lines_text += "\nwatch = true"
    lab.talk = lab.talk.replace("uboot =", f'password_file = "{tmp_path}/password"\nuboot =')

    def change() -> None:
        end = time.monotonic() + 60
        while not any(one.kind == "waiting" for one in lab.events) and time.monotonic() < end:
            time.sleep(0.05)
        (tmp_path / "password").write_text("another one\n")
        fleet.restart("ttySIM0")
        while not any("refused" in one.reason for one in lab.told("waiting")) and time.monotonic() < end:
            time.sleep(0.05)
        lab.running.stop()

    with Fleet(plan) as fleet:
        hand = threading.Thread(target=change)
        hand.start()
        try:
            lab.run(once=False)
        finally:
            hand.join()
    assert [one.facts["code"] for one in lab.entries(kind="note") if "code" in one.facts] == ["login-refused"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, None),
        ({"ethaddr": "02:00:5E:10:00:02", "serial#": "SN-1"}, None),
        ({"ethaddr": "02:00:5e:ff:ff:ff"}, "the MAC address 02:00:5e:ff:ff:ff, and its system has 02:00:5e:10:00:01"),
        ({"ethaddr": "${ethaddr}"}, "the MAC address '\\${ethaddr}', which cannot be one"),
        ({"ethaddr": "02:00:5e:10:00:01", "serial#": "SN-2"}, "the serial number 'SN-2'"),
    ],
)
def test_what_boot_loader_and_system_say_is_compared(said: dict[str, str], words: str | None) -> None:
    facts = DeviceFacts(FACTS.serial_number, FACTS.macs, boot_loader=said)
    noting = TalkTable(way="console", uboot=True, uboot_differs="note")
    if words is None:
        assert compare_boot(facts, TalkTable(way="console", uboot=True)) is compare_boot(facts, noting) is None
    else:
        with pytest.raises(WrongDeviceError, match=words):
            compare_boot(facts, TalkTable(way="console", uboot=True))
        assert compare_boot(facts, noting)
    assert about_boot(facts, noting) == {"boot_loader": said, "boot_loader_set": []}
    assert about_boot(FACTS, TalkTable()) == {}
