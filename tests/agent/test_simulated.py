"""Devices that somebody else wrote from docs/serial-protocol.md, and that never answer as they should: which error says so."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan

from device_sdk.client.bench import KeyWish
from device_sdk.client.bench.agent import AgentDevice
from device_sdk.errors import AgentVersionError, BenchError, DeviceSaysError, LineError, LineSilentError
from device_sdk.transports.serial import LineSettings, open_line

EXPECTED = {
    "version": AgentVersionError,
    "refuse": DeviceSaysError,
    "bad-json": LineError,
    "wrong-baud": LineSilentError,
    "silent": LineSilentError,
}


def ask(url: str, found: list[BenchError], patience_s: float) -> None:
    try:
        with (
            open_line(url, LineSettings(baud=115200)) as line,
            AgentDevice(line, baud=115200, timeout_s=2 * patience_s, silence_s=patience_s) as device,
        ):
            device.facts()
            device.configure(b"# nothing\n", b"")
            device.create_key(KeyWish("tpm2:"))
            device.request()
            device.install(b"x", b"x")
    except BenchError as error:
        found.append(error)


@pytest.mark.slow
def test_each_has_an_error_of_its_own(tmp_path: Path) -> None:
    plan = FleetPlan(len(EXPECTED), only=dict(enumerate(EXPECTED)), listen=tmp_path / "lines", seed=3)
    found: dict[str, list[BenchError]] = {name: [] for name in EXPECTED}
    with Fleet(plan) as fleet:
        threads = [
            threading.Thread(target=ask, args=(line["url"], found[name], 4 if kind is LineSilentError else 60))
            for (name, kind), line in zip(EXPECTED.items(), fleet.lines(), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name, kind in EXPECTED.items():
        assert isinstance(found[name][0], kind), (name, found[name])
        assert "ttySIM" in (found[name][0].line or ""), name
