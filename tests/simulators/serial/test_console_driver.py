"""The SDK's driver of consoles at simulated ones: every shell, a boot loader, trouble, and a real device-sdk behind it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from device_sdk_simulators.serial.console.device import ConsoleStyle
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.bench import BenchDevice, KeyWish
from device_sdk.client.bench.console import ConsoleDevice, ConsoleSettings
from device_sdk.client.bench.console.boots import Boots
from device_sdk.client.bench.same import check_boot
from device_sdk.errors import BenchError, BootLoaderMissedError, DeviceSaysError, LoginRefusedError
from device_sdk.model.secret import Secret
from device_sdk.transports.serial import LineSettings, open_line
from tests.simulators.serial.conftest import Issue

CONFIG = b'[identity]\nsubject = "O=Example"\n'


@contextmanager
def driver(fleet: Fleet, boots: Boots | None = None, **settings: Any) -> Iterator[BenchDevice]:
    settings = {"user": "root", "silence_s": 60.0, "answer_s": 60.0} | settings
    with (
        open_line(fleet.lines()[0]["url"], LineSettings(baud=115200)) as line,
        ConsoleDevice(line, ConsoleSettings(**settings), boots) as device,
    ):
        yield device


def relay(device: BenchDevice, issue: Issue, anchors: bytes) -> None:
    if device.facts().enrolled is None:
        device.configure(CONFIG, anchors)
        device.create_key(KeyWish("tpm2:"))
        device.install(*issue(device.request()))
    device.prove(b"p" * 32)


@pytest.mark.parametrize("shell", ["busybox", "sh", "bash"])
def test_every_shell(shell: str, fleet_of: Callable[..., Fleet], issue: Issue, issuer: ReferenceServer) -> None:
    fleet = fleet_of(devices=1, way="console", console=ConsoleStyle(shell=shell, password="hush"), linger_s=600)
    with driver(fleet, password=lambda: Secret(b"hush")) as device:
        relay(device, issue, Path(issuer.ca_file).read_bytes())
        assert device.run(("sh", "-c", "echo $HOME; exit 3"), 60)[0] == 3
    report = fleet.report()
    assert report["states"] == {"proved": 1}
    assert report["members"][0]["configured"] == 1


def test_a_wrong_password_is_refused(fleet_of: Callable[..., Fleet]) -> None:
    fleet = fleet_of(devices=1, way="console", console=ConsoleStyle(password="hush"))
    with pytest.raises(LoginRefusedError), driver(fleet, password=lambda: Secret(b"wrong")) as device:
        device.facts()


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["=> ", "> ", "MX6 (a>b) # "])
def test_a_boot_loader_is_asked_first(prompt: str, fleet_of: Callable[..., Fleet]) -> None:
    fleet = fleet_of(
        devices=1, way="console", console=ConsoleStyle(boot_loader=True, second_s=10.0, boot_prompt=prompt)
    )
    with driver(fleet, boot_loader=True, boot_variables={"bootargs": "a b;$c"}) as device:
        facts = device.facts()
    assert facts.extra["boot-loader.ethaddr"] == fleet.plan.mac(0)
    assert facts.extra["boot-loader.serial#"] == fleet.plan.serial_number(0) == facts.serial_number
    assert [event[2] for event in events(fleet, "booted")] == ["a b;$c"]


def events(fleet: Fleet, name: str) -> list[list[str]]:
    return [event for event in fleet.report()["members"][0]["events"] if event[0] == name]


@pytest.mark.slow
def test_what_was_set_at_the_boot_loader_counts_until_the_next_start(fleet_of: Callable[..., Fleet]) -> None:
    settings = {"boot_loader": True, "boot_variables": {"bootargs": "quiet"}}
    fleet = fleet_of(devices=1, way="console", console=ConsoleStyle(boot_loader=True, second_s=10.0), linger_s=600)
    boots = Boots()
    with driver(fleet, boots, **settings) as device:
        met = device.facts()
    with driver(fleet, boots, **settings) as device:
        assert device.facts().boot_loader == met.boot_loader == {"ethaddr": met.macs[0], "serial#": met.serial_number}
        check_boot(device.facts(), settings["boot_variables"])
    fleet.members[0].board.boot_id = "another"
    with driver(fleet, boots, **settings) as device, pytest.raises(BootLoaderMissedError, match="bootargs not set"):
        check_boot(device.facts(), settings["boot_variables"])


@pytest.mark.slow
@pytest.mark.parametrize("misfortune", ["kernel", "cut", "reset-before", "reset-after", "refuse", "cut-anywhere"])
def test_trouble(misfortune: str, fleet_of: Callable[..., Fleet], issue: Issue, issuer: ReferenceServer) -> None:
    fleet = fleet_of(devices=1, way="console", only={0: misfortune}, seed=2, linger_s=600)
    errors = []
    for _ in range(4):
        try:
            with driver(fleet, silence_s=10.0) as device:
                relay(device, issue, Path(issuer.ca_file).read_bytes())
            break
        except BenchError as error:
            errors.append(error.message)
            time.sleep(0.5)
            deadline = time.monotonic() + 30
            while not Path(fleet.lines()[0]["url"]).exists() and time.monotonic() < deadline:
                time.sleep(0.02)
    member = fleet.report()["members"][0]
    assert member["state"] == "proved", (errors, member)
    assert member["provisioned"] == 1
    assert len(member["keys"]) == 1
    assert sum(member["faults"].values()) > 0
    assert member["resets"] == misfortune.startswith("reset-")


@pytest.mark.slow
def test_a_real_device_sdk_at_a_simulated_console(
    fleet_of: Callable[..., Fleet], issue: Issue, issuer: ReferenceServer, tmp_path: Path
) -> None:
    environment = {
        "DEVICE_SDK_STATE_DIR": str(tmp_path / "state"),
        "DEVICE_SDK_RUNTIME_DIR": str(tmp_path / "run"),
        "DEVICE_SDK_CONFIG": str(tmp_path / "config.toml"),
    }
    (tmp_path / "config.toml").touch(0o600)
    style = ConsoleStyle(path=Path(sys.executable).parent, environment=tuple(environment.items()))
    fleet = fleet_of(devices=1, way="console", console=style, linger_s=600)
    config = f'[identity]\nserial = "SN-7"\nsubject = "CN=seven"\n[est]\nurl = "{issuer.url}"\n'.encode()
    with driver(fleet, verb_s=120.0) as device:
        assert device.facts().enrolled is None
        device.configure(config, Path(issuer.ca_file).read_bytes())
        with pytest.raises(DeviceSaysError):
            device.create_key(KeyWish(f"file:{tmp_path}/key.pem"))
        made = device.create_key(KeyWish(f"file:{tmp_path}/key.pem", file_allowed=True))
        assert made.attestation["keystore"] == "file"
        current = device.install(*issue(device.request()))
        assert device.facts().enrolled == current.hex()
        device.prove(b"p" * 32)
