"""Our agent, asked by a station that somebody else wrote from docs/serial-protocol.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.agent.conftest import Device
from tests.agent.wires import Cable
from tests.simulators.serial.station import RefusedError, Station


def test_it_is_understood(device: Device, cable: Callable[..., Cable]) -> None:
    line = cable()
    agent = device.start(line)
    with Station(line.station_path) as station:
        assert station.hello((1, 9))["version"] == 1
        assert station.ask("facts")["serial_number"] == "SN-1"
        station.ask("configure", config=b'[identity]\nserial = "SN-2"\n' + b"#" * 3000, anchors=b"")
        assert station.ask("facts")["serial_number"] == "SN-2"
        for operation, code in (("run", "bad-message"), ("fly", "unknown-operation"), ("enrol", "configuration")):
            with pytest.raises(RefusedError, match=code):
                station.ask(operation)
        station.bye()
    assert agent.wait(60) == 0


def test_another_version(device: Device, cable: Callable[..., Cable]) -> None:
    line = cable()
    device.start(line)
    with Station(line.station_path) as station:
        answer = station.hello((2, 3))
        assert (answer["version"], answer["versions"]) == (0, [1])
