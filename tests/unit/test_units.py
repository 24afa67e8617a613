"""The units in hw/systemd: device-sdk understands the commands in them."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest

from device_sdk.cli.main import build_parser

UNITS = Path(__file__).parents[2] / "hw" / "systemd"
SERVICES = sorted(path.stem for path in UNITS.glob("*.service"))


@pytest.mark.parametrize("name", SERVICES)
def test_the_commands_of_a_unit_are_there(name: str) -> None:
    lines = (UNITS / f"{name}.service").read_text().splitlines()
    commands = [line.partition("=")[2] for line in lines if re.match(r"Exec\w+=", line)]
    assert commands
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "/usr/bin/device-sdk"
        build_parser(words[0]).parse_args(words)


def test_units_share_the_locks_of_tokens_and_tpms() -> None:
    """Each has a /tmp of its own, where locks are if nothing says otherwise."""
    places = set()
    for name in SERVICES:
        text = (UNITS / f"{name}.service").read_text()
        places |= set(re.findall(r"^Environment=DEVICE_SDK_RUNTIME_DIR=/run/(.*)$", text, re.MULTILINE))
        assert "RuntimeDirectoryPreserve=yes" in text
        assert re.findall(r"^RuntimeDirectory=(.*)$", text, re.MULTILINE) == list(places)


def test_what_runs_once_has_a_timer_that_says_when() -> None:
    once = [name for name in SERVICES if "Type=oneshot" in (UNITS / f"{name}.service").read_text()]
    assert sorted(path.stem for path in UNITS.glob("*.timer")) == once != []
    for name in once:
        timer = configparser.ConfigParser(interpolation=None)
        timer.read(UNITS / f"{name}.timer")
        assert timer["Timer"]["OnCalendar"] in ("daily", "hourly")
        assert timer["Install"]["WantedBy"] == "timers.target"
