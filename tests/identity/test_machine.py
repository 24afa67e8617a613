"""What a machine says of itself where nobody configured anything: for the station that meets it first."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.identity import Roots, machine_id, machine_model, machine_serial, physical_macs
from tests.identity.test_mac import VENDOR, interface
from tests.identity.test_serial import ID, write


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return Roots(sys=tmp_path / "sys", proc=tmp_path / "proc", etc=tmp_path / "etc")


def test_the_first_serial_number_there_is(roots: Roots) -> None:
    with pytest.raises(ConfigurationError, match="nothing on this machine"):
        machine_serial(roots=roots)
    write(roots.etc / "machine-id", ID.encode())
    assert machine_serial(roots=roots) == machine_id(roots=roots) != ID
    write(roots.sys / "class/dmi/id/board_serial", b"B7\n")
    assert machine_serial(roots=roots) == "B7"
    write(roots.sys / "class/dmi/id/product_serial", b"To be filled by O.E.M.\n")
    assert machine_serial(roots=roots) == "B7", "what thousands of machines have is no serial number"
    write(roots.proc / "device-tree/serial-number", b"10000000a1b2c3d4\0")
    assert machine_serial(roots=roots) == "10000000a1b2c3d4"


def test_the_model(roots: Roots) -> None:
    assert machine_model(roots=roots) == ""
    write(roots.sys / "class/dmi/id/sys_vendor", b"Example\n")
    write(roots.sys / "class/dmi/id/product_name", b"MX 2026\n")
    assert machine_model(roots=roots) == "Example MX 2026"
    write(roots.proc / "device-tree/model", b"Raspberry Pi 4 Model B Rev 1.4\0")
    assert machine_model(roots=roots) == "Raspberry Pi 4 Model B Rev 1.4"


def test_all_physical_addresses(tmp_path: Path) -> None:
    """The one that "auto" takes first; bridges, tunnels and made-up ones are no names for a device."""
    assert physical_macs(sysfs=tmp_path) == ()
    interface(tmp_path, "lo", "00:00:00:00:00:00", device=False, kind="772")
    interface(tmp_path, "br0", "00:11:22:33:44:55", device=False)
    interface(tmp_path, "wlan0", "00:00:92:90:ee:e3", wifi=True)
    interface(tmp_path, "enp3s0", VENDOR.upper())
    interface(tmp_path, "enp3s0d1", VENDOR)
    interface(tmp_path, "usb0", "02:11:22:33:44:55")
    assert physical_macs(sysfs=tmp_path) == (VENDOR, "00:00:92:90:ee:e3", "02:11:22:33:44:55")
