"""The power switch alone: a machine whose kernel stops the processor at once."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_sdk_simulators.softhsm import SimulatorError
from device_sdk_simulators.virtual import Image, VirtualDevice

_SWITCH_ON = """
import sys, time
from pathlib import Path
from device_sdk_simulators.virtual import Image, VirtualDevice
place = Path(sys.argv[1])
device = VirtualDevice(place, Image(place / "kernel", place / "initrd", place / "root"), tpm=sys.argv[2] == "tpm")
device.power_on()
print(*(process.pid for process in device._processes), flush=True)
time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vd-", dir="/tmp") as name:
        place = Path(name)
        # a kernel of two instructions (no interrupts, halt), and the header of boot protocol 2.00
        (place / "kernel").write_bytes(bytes(0x1F1) + b"\4" + bytes(14) + b"\xfa\xf4HdrS\0\2" + bytes(0x8000))
        (place / "initrd").write_bytes(bytes(1024))
        (place / "root").write_bytes(bytes(1 << 20))
        (place / "data.img").write_bytes(bytes(1 << 20))
        yield place


def device_in(place: Path) -> VirtualDevice:
    return VirtualDevice(place, Image(place / "kernel", place / "initrd", place / "root"), tpm=False)


def switched_on(device: VirtualDevice, deadline: float) -> str:
    """Its console; threads of a machine that is gone may be there for another moment, a long one under load."""
    while True:
        try:
            return device.power_on()
        except SimulatorError:
            if time.monotonic() > deadline:
                raise


def alive(process: str) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_nothing_is_left_of_a_process_that_is_killed(place: Path) -> None:
    """Meanwhile nobody else switches the same device on; afterwards one may."""
    with subprocess.Popen([sys.executable, "-c", _SWITCH_ON, str(place), "tpm"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        machines = process.stdout.readline().decode().split()
        assert len(machines) == 2
        assert all(map(alive, machines))
        with pytest.raises(SimulatorError, match=f"process {process.pid}, .* has this device switched on"):
            device_in(place).power_on()
        process.kill()
    deadline = time.monotonic() + 60
    while any(map(alive, machines)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with device_in(place) as device:
        assert switched_on(device, deadline)
        assert device.running
        device.power_cut()
        assert device.power_on()


def test_a_machine_that_ends_at_once_is_not_ready(place: Path) -> None:
    """It says where its console is before it looks for its kernel."""
    (place / "kernel").write_bytes(b"")
    with device_in(place) as device, pytest.raises(SimulatorError, match="QEMU did not start"):
        device.power_on()
