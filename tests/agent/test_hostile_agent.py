"""What an agent that keeps the protocol can say, and the station does not believe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device_sdk.client.bench import KeyWish
from device_sdk.client.bench.agent import AgentDevice
from device_sdk.client.bench.writing import Passing
from device_sdk.errors import BenchError, DeviceSaysError, LineError
from device_sdk.wire.agent.messages import Refusal, Request, Result
from tests.agent.test_provisioning import Device, VirtualLine

Ask = Callable[[AgentDevice], object]


@pytest.fixture
def line(tmp_path: Path) -> VirtualLine:
    return VirtualLine(Device(tmp_path / "device"))


def station(line: VirtualLine, run: str | None = None) -> AgentDevice:
    return AgentDevice(line, baud=9600, run=run, passing=Passing(line.clock, line.sleep))  # type: ignore[arg-type]


def says(line: VirtualLine, result: dict[str, Any]) -> None:
    line.device.desk.answer = lambda request: Result(request.id, result)  # type: ignore[method-assign]


KEY = {"uri": "tpm2:", "type": "ec-p256", "public_key": "AAAA", "attestation": {}}


@pytest.mark.parametrize(
    ("ask", "result"),
    [
        (lambda device: device.facts(), {}),
        (lambda device: device.facts(), {"serial_number": "\x1b[2J", "macs": [], "keystores": []}),
        (lambda device: device.facts(), {"serial_number": "x" * 65, "macs": [], "keystores": []}),
        (lambda device: device.create_key(KeyWish("tpm2:")), KEY | {"public_key": "?"}),
        (lambda device: device.create_key(KeyWish("tpm2:")), KEY | {"type": "ec"}),
        (lambda device: device.request(), {}),
        (lambda device: device.request(), {"csr": ["AAAA"]}),
        (lambda device: device.request(), {"csr": "AA"}),
        (lambda device: device.install(b"", b""), {"certificate": "0" * 63}),
        (lambda device: device.enrol(), {"certificate": "A" * 64}),
        (lambda device: device.enrol(), {"certificate": None}),
        (lambda device: device.prove(b"n" * 32), {"certificate": "AAAA"}),
        (lambda device: device.run(("x",), 5), {"status": True, "output": ""}),
        (lambda device: device.run(("x",), 5), {"status": 0, "output": ["x"]}),
        (lambda device: device.run(("x",), 5), {"status": 0, "output": "x" * 65537}),
    ],
)
def test_results_that_are_none(line: VirtualLine, ask: Ask, result: dict[str, Any]) -> None:
    says(line, result)
    with pytest.raises(LineError), station(line) as device:
        ask(device)


def test_results_that_are(line: VirtualLine) -> None:
    says(line, {"certificate": "0a" * 32, "more": 1})
    with station(line) as device:
        assert device.agent is None
        assert device.enrol() == device.install(b"", b"") == b"\x0a" * 32
        assert device.agent is not None
    says(line, {"status": 3, "output": "\x1b[2J"})
    with station(line) as device:
        assert device.run(("x",), 5) == (3, "\x1b[2J")


def test_what_is_no_message_is_the_lines_fault(line: VirtualLine) -> None:
    class Rubbish:
        @staticmethod
        def to_bytes() -> bytes:
            return b'{"id":"a","result":[]}'

    line.device.desk.answer = lambda _request: Rubbish()  # type: ignore[assignment,method-assign,return-value]
    with pytest.raises(LineError, match="virtual: what the agent says cannot be read"), station(line) as device:
        device.facts()


def test_an_error_without_an_id_is_the_answer(line: VirtualLine) -> None:
    """The agent could not read whose it is."""
    line.device.desk.answer = lambda _request: Refusal("", "bad-message", "what?")  # type: ignore[method-assign]
    with pytest.raises(DeviceSaysError, match="virtual: the device refused facts: what"), station(line) as device:
        device.facts()


def test_busy_is_not_an_answer(line: VirtualLine) -> None:
    """It is asked again every two seconds."""
    asked: list[float] = []
    answer = line.device.desk.answer

    def busy(request: Request) -> Result | Refusal:
        asked.append(line.now)
        return Refusal(request.id, "busy", "later") if len(asked) < 4 else answer(request)

    line.device.desk.answer = busy  # type: ignore[method-assign]
    with station(line) as device:
        assert device.facts().serial_number == "SN-1"
    assert len(asked) == 4
    assert asked[3] - asked[0] >= 6


def test_what_a_station_must_not_do(line: VirtualLine) -> None:
    for name in ("a b", "x" * 65, "../x", "\n"):
        with pytest.raises(BenchError, match="is no name for a run"):
            station(line, name)
    device = station(line, "run-1")
    with pytest.raises(BenchError, match="configure: a message of"):
        device.configure(b"x" * 400_000, b"")
    assert device.facts().serial_number == "SN-1"
    device.close()
    device.close()
    with pytest.raises(BenchError, match="left already"):
        device.facts()


def test_goodbye_on_a_line_that_has_gone(line: VirtualLine) -> None:
    device = station(line)
    device.facts()

    def gone(_deadline: float) -> bytes:
        raise LineError("gone")

    line.read = gone  # type: ignore[method-assign]
    device.close()
