"""Two hundred devices on 32 lines, one in twenty with a misfortune, and a station that is killed ten times."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys

import pytest
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FATAL, FleetPlan

from device_sdk.station.ledger import Ledger
from tests.station.staying import staying

DEVICES, LINES, KILLS = 200, 32, 10


def _killed_after(words: list[str], events: int) -> bool:
    """Run a station until it told so many events, then kill it; whether it was still alive."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for number, _line in enumerate(process.stdout, 1):
            if number >= events:
                break
        process.kill()
    return process.returncode == -signal.SIGKILL


@pytest.mark.timeout(400)
@pytest.mark.slow
def test_two_hundred_devices_and_ten_kills(lab, tmp_path):
    plan = FleetPlan(
        devices=DEVICES,
        lines=LINES,
        listen=tmp_path / "lines",
        faults=0.05,
        seed=3100,
        swap_s=0.02,
        linger_s=4,
        patience_s=60,
    )
    lines = f'watch = true\nglobs = ["{tmp_path}/lines/tty*"]'
    limits = "step_s = 20\n[limits.steps]\nopen = 6\nidentify = 10"
    file = tmp_path / "profile.toml"
    file.write_text(lab.shop.profile("relay", lines=lines, limits=limits))
    place = ["--ledger", str(lab.ledger_file), "--directory", str(tmp_path / "bench-1"), "--station", "bench-1"]
    words = [
        sys.executable,
        "-m",
        "device_sdk.cli.main",
        "provision",
        "run",
        str(file),
        *place,
        "--operator",
        "eva",
        "--json",
    ]
    chance = random.Random(7)  # noqa: S311  # chance that can be repeated
    with Fleet(plan) as fleet:
        kills = sum(_killed_after(words, chance.randrange(40, 260)) for _ in range(KILLS))
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            finished = fleet.wait(300)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        assert finished, fleet.report()["states"]
        assert process.returncode == 130, err
        members = fleet.members
        report = fleet.report()
    # those that were taken away while the station was dead are put back, as a person would
    lab.real_lines = True
    left = [one for one in members if lab.record_of(one.board.serial_number) is None or not _ended(lab, one)]
    with staying({tmp_path / "again" / f"tty{one.number}": one.board for one in left}):
        lab.lines_text = f'globs = ["{tmp_path}/again/tty*"]'
        lab.limits = limits
        if left:
            lab.run()
    assert kills == KILLS
    _check(lab, members, report, [one.board.serial_number for one in left])


def _ended(lab, member) -> bool:
    record = lab.record_of(member.board.said_serial or member.board.serial_number)
    return record is not None and record.state in ("provisioned", "failed")


def _check(lab, members, report, left):
    assert report["provisioned_twice"] == [], left
    with Ledger.open(lab.ledger_file) as ledger:
        ledger.verify()
        records = {one.serial_number: one for one in ledger.devices()}
        provisioned = [one.device for one in ledger.entries(kind="provisioned")]
    assert len(provisioned) == len(set(provisioned)), "nothing twice"
    for member in members:
        record = records[member.board.said_serial or member.board.serial_number]
        assert record.state in ("provisioned", "failed"), (record, member.describe())
        assert record.state == "provisioned" or record.reason
        if member.misfortune in FATAL - {"same-mac", "other-serial"}:
            assert record.state == "failed", member.describe()
        if record.state == "provisioned" and not member.board.said_serial:
            assert record.facts["certificate_sha256"] == member.board.enrolled, json.dumps(member.describe())
    # where a kill came between the server's answer and the station's disk, the same request was posted again, and answered
    more = [lab.issued_to(member.board.serial_number) - 1 for member in members]
    assert max(more) <= 1
    assert sum(one > 0 for one in more) <= KILLS * 3
    healthy = [one for one in members if one.misfortune is None]
    assert sum(records[one.board.serial_number].state == "provisioned" for one in healthy) >= len(healthy) - 20
