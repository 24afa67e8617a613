"""Devices a minute by the number of lines: a real station with its ledger, a fleet on ptys, a reference server, a process each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from device_sdk_simulators.process import ServerProcess

LINES = (1, 8, 32, 64)
DEVICES = {1: 6, 8: 32, 32: 64, 64: 128}
_PROFILE = """
[profile]
name = "bench"
version = "1"
mode = "relay"
[lines]
globs = ["{lines}/tty*"]
poll_s = 0.1
watch = true
[talk]
way = "agent"
[key]
uri = "tpm2:"
[est]
url = "{url}"
anchors = "{anchors}"
ra_certificate = "{certificate}"
ra_key = "file:{key}"
[device]
config = '''
[identity]
subject = "CN=${{serial_number}}"
[est]
url = "{url}"
[key]
uri = "tpm2:"
'''
[limits]
parallel = 64
"""


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        lines: serial lines.
        devices: how many devices were provisioned.
        wall_s: from the station's start to its end.
        busy_s: processor time of the station's process.
    """

    lines: int
    devices: int
    wall_s: float
    busy_s: float


def measure(directory: Path) -> Iterator[Row]:
    """A row for each number of lines. Devices, server and station share the cores."""
    (directory / "policy.toml").write_text("registration_authorities = true\n")
    with ServerProcess(directory / "provision-server", "--policy", str(directory / "policy.toml")) as server:
        certificate, key = _authority(server, directory)
        for lines in LINES:
            place = directory / f"lines-{lines}"
            profile = directory / f"profile-{lines}.toml"
            profile.write_text(
                _PROFILE.format(lines=place, url=server.url, anchors=server.ca_file, certificate=certificate, key=key)
            )
            yield _run(directory / f"station-{lines}", profile, place, lines)


def _authority(server: ServerProcess, directory: Path) -> tuple[Path, Path]:
    certificate, key = directory / "ra.pem", directory / "ra.key"
    subprocess.run(
        [sys.executable, "-m", "device_sdk_simulators.cli.main", "registration-authority", "--state", server.state,
         "--name", "station", "--out", certificate, "--key-out", key],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return certificate, key


def _run(station: Path, profile: Path, place: Path, lines: int) -> Row:
    devices = DEVICES[lines]
    place.mkdir()
    fleet = subprocess.Popen(
        [sys.executable, "-m", "device_sdk_simulators.cli.main", "fleet", "--devices", str(devices), "--lines", str(lines),
         "--listen", place, "--report", place.with_suffix(".json"), "--json"],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert fleet.stdout is not None
        fleet.stdout.readline()
        begun = time.monotonic()
        command = [sys.executable, "-m", "device_sdk.cli.main", "provision", "run", str(profile), "--devices", str(devices),
                   "--ledger", f"{station}/ledger.sqlite", "--directory", str(station), "--plain"]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        fleet.terminate()
        fleet.communicate()
    report = json.loads(place.with_suffix(".json").read_text())
    proved = sum(member["state"] == "proved" for member in report["members"])
    if process.returncode or proved != devices:
        raise RuntimeError(f"{proved} of {devices} devices were provisioned, exit code {process.returncode}")
    return Row(lines, devices, wall, used.ru_utime + used.ru_stime)
