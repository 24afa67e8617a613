"""`device-sdk doctor --hardware`: a board and its token or TPM, and a report without anybody's secrets."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.board import BoardDoctor
from device_sdk.client.board.machine import clock_chip, machine, memory, room
from device_sdk.client.board.nodes import serial_lines, tpm_driver, usb_nodes
from device_sdk.client.board.trial import Trial
from device_sdk.identity.roots import Roots
from device_sdk.keystores.registry import list_keys
from device_sdk.model.secret import Secret
from tests.cli.conftest import Cli


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A directory that outlives the power: the tests' own ones may be in memory, which `room` refuses."""
    with TemporaryDirectory(dir=sys.prefix) as place:
        yield Path(place)


def checks(said: dict[str, Any]) -> dict[str, str]:
    return {one["check"]: one["status"] for one in said["checks"]}


@pytest.mark.slow
def test_a_token(cli: Cli, softhsm_token: SoftHsm, tmp_path: Path, on_disk: Path) -> None:
    report = tmp_path / "report.json"
    words = ("doctor", "--hardware", "--state", on_disk / "state", "--key", softhsm_token.uri)
    said = cli.ok(*words, "--report", report, "--json").json
    found = checks(said)
    assert (found["keystore"], found["sign"]) == ("ok", "ok")
    written = json.loads(report.read_text())
    assert written["keystore"]["operations"]["sign-ecdsa-sha256"] is True
    assert 0 < written["keystore"]["times"]["ec-p256"]["sign_s"] < 10
    assert "serial" not in json.dumps(written["keystore"]["description"]).lower()
    assert softhsm_token.pin not in report.read_text()
    assert list_keys(softhsm_token.uri) == (), "nothing is left behind"
    # the case in which one sends it: another token is there
    wrong = softhsm_token.uri.replace("token=", "token=no-", 1)
    out = cli("doctor", "--hardware", "--state", tmp_path / "state", "--key", wrong, "--report", report)
    assert out.code == 1
    assert "token=...;manufacturer=" in report.read_text()
    for name in ("serial", "token"):
        (whose,) = set(re.findall(rf"\b{name}=([^;?&,\s]+)", report.read_text()))
        assert whose == "..."


class _Asked(BaseException):
    """A person would have been asked."""


def _ask(what: str) -> Secret | None:
    raise _Asked(what)


def test_nobody_is_asked_for_the_pin_of_a_key_that_is_gone_at_once(swtpm: Swtpm) -> None:
    trial = Trial(f"tpm2:?tcti={swtpm.tcti}", _ask, thorough=False)
    assert trial.signing()[0] in {"ok", "warning"}


@pytest.mark.slow
def test_a_tpm(cli: Cli, swtpm: Swtpm, on_disk: Path) -> None:
    said = cli.ok("doctor", "--hardware", "--state", on_disk, "--key", f"tpm2:?tcti={swtpm.tcti}", "--json").json
    found = checks(said)
    assert found["sign"] == "ok"
    assert found["abilities"] in {"ok", "warning"}


def test_what_is_no_token_is_said(cli: Cli, tmp_path: Path) -> None:
    for uri, says in (
        ("tpm2:?tcti=device:/dev/nothing", "does not exist"),
        (f"file:{tmp_path}/key.pem", "is no hardware"),
        ("pkcs11:token=a?module-path=/nowhere.so", "does not exist"),
    ):
        out = cli("doctor", "--hardware", "--state", tmp_path, "--key", uri)
        assert out.code == 1, uri
        assert says in out.out, uri


def test_a_report_needs_the_hardware_checks(cli: Cli, tmp_path: Path) -> None:
    assert "--hardware" in cli.fails(2, "doctor", "--report", tmp_path / "report.json", "--state", tmp_path)


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(tmp_path / "sys", tmp_path / "proc", tmp_path / "etc")


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_small_board(roots: Roots) -> None:
    put(roots.proc / "device-tree" / "model", "Example Router 3\0")
    put(roots.proc / "meminfo", "MemTotal: 65536 kB\nMemAvailable:   20480 kB\n")
    assert "Example Router 3" in machine(roots)[1]
    assert memory(roots)[0] == "failed"
    put(roots.proc / "meminfo", "MemAvailable:   90480 kB\n")
    assert memory(roots)[0] == "ok"
    assert clock_chip(roots)[0] == "warning"
    put(roots.sys / "class" / "rtc" / "rtc0" / "name", "rtc-ds1307 0-0068\n")
    assert clock_chip(roots)[:2] == ("ok", "clock: rtc-ds1307 0-0068")


def test_a_tpm_of_the_kernel(roots: Roots) -> None:
    assert tpm_driver(roots)[0] == "skipped"
    tpm = roots.sys / "class" / "tpm" / "tpm0"
    put(tpm / "tpm_version_major", "1\n")
    assert tpm_driver(roots)[0] == "failed"
    put(tpm / "tpm_version_major", "2\n")
    assert tpm_driver(roots)[0] == "warning", "no resource manager"
    put(roots.sys / "class" / "tpmrm" / "tpmrm0" / "dev", "254:65536\n")
    assert tpm_driver(roots)[:2] == ("ok", "TPM version 2")


def test_state_that_would_be_gone_with_the_power() -> None:
    assert room(Path("/dev/shm/state"))[0] == "failed"


def test_usb_tokens(tmp_path: Path) -> None:
    assert usb_nodes(tmp_path / "none", tmp_path)[0] == "skipped"
    device = tmp_path / "devices" / "1-1"
    for name, text in (("idVendor", "1050"), ("idProduct", "0030"), ("busnum", "1"), ("devnum", "4")):
        put(device / name, text + "\n")
    assert usb_nodes(tmp_path / "devices", tmp_path / "bus")[0] == "failed", "nobody may open it"
    put(tmp_path / "bus" / "001" / "004", "")
    assert usb_nodes(tmp_path / "devices", tmp_path / "bus")[:2] == ("ok", "Yubico 1050:0030")
    put(tmp_path / "devices" / "1-2" / "idVendor", "ffff\n")
    put(tmp_path / "devices" / "1-2" / "idProduct", "0001\n")
    put(tmp_path / "devices" / "1-2" / "1-2:1.0" / "bInterfaceClass", "0b\n")
    assert "smart-card reader" in usb_nodes(tmp_path / "devices", tmp_path / "bus")[1]


def test_serial_lines(tmp_path: Path) -> None:
    assert serial_lines(tmp_path)[0] == "skipped"
    put(tmp_path / "ttyUSB0", "")
    assert serial_lines(tmp_path)[:2] == ("ok", "ttyUSB0")


def test_no_check_raises(tmp_path: Path, roots: Roots) -> None:
    found = {one.check: one.status for one in BoardDoctor(tmp_path, roots=roots).run()}
    assert found["memory"] == "failed"
    assert found["keystore"] == "skipped"
