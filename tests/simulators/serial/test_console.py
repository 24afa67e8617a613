"""The simulated console, typed at by hand."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import serial
from device_sdk_simulators.serial.console.device import ConsoleStyle
from device_sdk_simulators.serial.console.editor import ASK_CURSOR
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan
from device_sdk_simulators.softhsm import SimulatorError

PATIENCE_S = 60.0


class Console:
    """Somebody at a terminal."""

    def __init__(self, port: serial.SerialBase) -> None:
        self.port = port
        self.seen = b""

    def type(self, text: str) -> None:
        self.port.write(text.encode())

    def until(self, *ends: str) -> str:
        """What comes up to and with one of these."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = [self.seen.find(end.encode()) + len(end.encode()) for end in ends if end.encode() in self.seen]
            if found:
                text, self.seen = self.seen[: min(found)], self.seen[min(found) :]
                return text.decode(errors="replace")
            data = self.port.read(1)
            self.seen += data + (self.port.read(self.port.in_waiting) if data else b"")
        raise AssertionError(f"{ends} did not come: {self.seen!r}")

    def login(self, password: str = "") -> None:
        self.type("\n")
        self.until("login: ")
        self.type("root\n")
        if password:
            self.until("Password: ")
            self.type(f"{password}\n")
        self.until("# ")

    def run(self, command: str) -> str:
        """What a command prints; the prompt of busybox is followed by its question."""
        self.type(f"{command}; echo end=$?=\n")
        self.until("echo end=$?=")
        return self.until("end=0=", "end=2=", "end=9=").replace("\r", "").strip("\n")


@contextmanager
def console(
    tmp_path: Path, style: ConsoleStyle | None = None, fault: str | None = None
) -> Iterator[tuple[Fleet, Console]]:
    only = {0: fault} if fault else {}
    plan = FleetPlan(
        1,
        way="console",
        listen=tmp_path / "lines",
        console=style or ConsoleStyle(),
        disks=tmp_path / "disks",
        only=only,
    )
    with Fleet(plan) as fleet, serial.Serial(fleet.lines()[0]["url"], 115200, timeout=0.05) as port:
        yield fleet, Console(port)


@pytest.mark.parametrize("shell", ["busybox", "sh", "bash"])
def test_a_real_shell_behind_a_login(shell: str, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4
    with console(tmp_path, ConsoleStyle(shell=shell, password="hush")) as (fleet, at):
        at.type("\n")
        at.until("login: ")
        at.type("root\nwrong\n")
        at.until("Login incorrect")
        at.login("hush")
        assert "41" in at.run("x=20; echo $((x * 2 + 1))")
        at.type("cat > f <<END\n")
        for begin in range(0, 1368, 76):
            at.type(base64.b64encode(data).decode()[begin : begin + 76] + "\n")
        at.type("END\n")
        at.until("END")
        assert hashlib.sha256(data).hexdigest() in at.run("base64 -d f | sha256sum")
        at.run("stty -echo")
        # typed ahead it would be echoed before the prompt is there
        at.type("echo re''ady\n")
        at.until("ready\r")
        at.type("echo quiet; exit\n")
        assert "echo quiet" not in at.until("login: ")
        assert fleet.report()["members"][0]["events"][0][0] == "login"


def test_the_editor_of_busybox_asks_wraps_and_cuts_off(tmp_path: Path) -> None:
    with console(tmp_path) as (_, at):
        at.login()
        assert at.until(ASK_CURSOR.decode()) == ASK_CURSOR.decode()
        at.type("echo " + "x" * 1500 + "\n")
        echo = at.until("\r\n")
        assert echo.count(" \b") == (1022 + 4) // 80
        assert at.until("\r\n") == "x" * (1022 - 5) + "\r\n"
        at.until(ASK_CURSOR.decode())
        at.type("\x1b[12;5Recho \x1b[200~pasted\x1b[201~\x7f\x7fE\n")
        assert "pastE" in at.until("\r\npastE\r\n")


def test_the_verbs_of_the_bench(tmp_path: Path) -> None:
    config = base64.b64encode(b'[identity]\nsubject = "O=Example"\n').decode()
    with console(tmp_path) as (fleet, at):
        at.login()
        at.run("stty -echo; PS1=")
        at.type(f"device-sdk bench configure --file - --json\n{config[:20]}\n{config[20:]}\n\n")
        assert json.loads(at.until("}")) == {"configured": True}
        at.type("device-sdk bench create-key --key tpm2: --json\n")
        at.until('"public_key": "')
        at.type("device-sdk bench request --json > r.json; device-sdk bench prove --nonce 00; echo $?\n")
        assert "has no certificate\r\n9" in at.until("\r\n9")
        at.type("device-sdk bench create-key --key file:/x --json; cat r.json\n")
        assert "not allowed" in at.until("}}")
        at.until('"csr": "')
        assert [event[0] for event in fleet.report()["members"][0]["events"]] == [
            "login",
            "configured",
            "key",
            "requested",
        ]


def test_the_boot_loader_can_be_stopped(tmp_path: Path) -> None:
    with console(tmp_path, ConsoleStyle(boot_loader=True, second_s=5.0)) as (fleet, at):
        at.until("autoboot:")
        at.type(" ")
        at.until("=> ")
        at.type("printenv ethaddr serial#; setenv ethaddr 02:00:00:00:00:99; saveenv; printenv nothing\n")
        text = at.until("not defined")
        assert f"ethaddr={fleet.plan.mac(0)}\r\nserial#={fleet.plan.serial_number(0)}" in text
        at.type("reset\n")
        at.until("autoboot:")
        at.type(" printenv ethaddr\nboot\n")
        assert "02:00:00:00:00:99" in at.until("login: ")


def test_a_device_that_is_reset_while_it_works_comes_back_with_its_disk(tmp_path: Path) -> None:
    with console(tmp_path, fault="reset-after") as (fleet, at):
        at.login()
        at.type("echo kept > note\n")
        member = fleet.members[0]
        for verb in ("facts", "configure", "create-key", "request", "install", "prove"):
            at.type(f"device-sdk bench {verb}\n")
        at.until("login: ")
        at.type("root\n")
        at.until("# ")
        assert "kept" in at.run("cat note")
        assert [fault.partition("@")[0] for fault in member.happened] == ["reset-after"]
        assert fleet.report()["members"][0]["resets"] == 1


def test_nothing_of_a_shell_is_left_when_the_power_is_off(tmp_path: Path) -> None:
    with console(tmp_path) as (_, at):
        at.login()
        at.type("sleep 1000 & echo pid=$!=\n")
        at.until("pid=$!=")
        at.until("pid=")
        number = at.until("=").removesuffix("=")
        assert number.isdecimal()
        assert runs(number)
    deadline = time.monotonic() + PATIENCE_S
    while runs(number):
        assert time.monotonic() < deadline


def runs(number: str) -> bool:
    try:
        # an orphan that nobody has taken in yet is none that runs
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_fleet_that_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "disks").write_text("in the way")
    plan = FleetPlan(2, lines=1, way="console", listen=tmp_path / "lines", disks=tmp_path / "disks")
    with pytest.raises((SimulatorError, OSError)), Fleet(plan) as fleet:
        fleet.wait(PATIENCE_S)
