"""Devices with the real agent, and cables to them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_sdk.client.bench.agent import AgentDevice
from device_sdk.transports.serial import open_line
from tests.agent.wires import Cable, Harm


@dataclass
class Device:
    """A directory with a configuration, and perhaps an agent that runs in it."""

    home: Path
    agent: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        return self.home / "config.toml"

    def start(self, cable: Cable, *options: str) -> subprocess.Popen[bytes]:
        """Its agent, on its terminal."""
        words = [sys.executable, "-m", "device_sdk.cli.main", "--config", str(self.config), "agent"]
        options = options or ("--stdio", "--idle", "100")
        self.agent = subprocess.Popen([*words, *options], stdin=cable.device, stdout=cable.device)
        return self.agent

    def stop(self) -> None:
        """As a power cut does."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Device]:
    """A device in its factory state."""
    made = Device(tmp_path / "device")
    made.home.mkdir()
    made.config.write_text(f'state_dir = "{made.home}/state"\n\n[identity]\nserial = "SN-1"\n')
    yield made
    made.stop()


@pytest.fixture
def cable() -> Iterator[Callable[..., Cable]]:
    """Makes cables."""
    with ExitStack() as stack:

        def make(harm: Harm | None = None) -> Cable:
            made = Cable(harm)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def station() -> Iterator[Callable[..., AgentDevice]]:
    """Opens the station's end of a cable."""
    with ExitStack() as stack:

        def make(cable: Cable, **options: object) -> AgentDevice:
            line = stack.enter_context(open_line(cable.station_path))
            return AgentDevice(line, **({"baud": 115200, "timeout_s": 120} | options))  # type: ignore[arg-type]

        yield make
