"""Which MAC address a device has: a made-up sysfs, and this machine's own."""

from __future__ import annotations

import fcntl
import socket
import struct
from pathlib import Path

import pytest

from device_sdk.errors import ConfigurationError
from device_sdk.identity import mac_of_interface, resolve_mac

VENDOR = "00:00:92:90:ee:e2"
SYSFS = Path("/sys")


def interface(
    root: Path, name: str, mac: str, *, device: bool = True, assigned: str = "0", kind: str = "1", wifi: bool = False
) -> Path:
    """One interface as Linux shows it."""
    path = root / "class" / "net" / name
    path.mkdir(parents=True)
    (path / "address").write_text(mac + "\n")
    (path / "addr_assign_type").write_text(assigned + "\n")
    (path / "type").write_text(kind + "\n")
    if device:
        (path / "device").mkdir()
    if wifi:
        (path / "phy80211").mkdir()
    return path


def test_the_named_interface(tmp_path: Path) -> None:
    interface(tmp_path, "eth1", VENDOR.upper())
    assert mac_of_interface("eth1", sysfs=tmp_path) == VENDOR


def test_auto_takes_the_physical_one(tmp_path: Path) -> None:
    """Loopback, bridges of containers, tunnels and CAN are passed over."""
    interface(tmp_path, "lo", "00:00:00:00:00:00", device=False, kind="772")
    interface(tmp_path, "docker0", "02:42:ac:11:00:02", device=False)
    interface(tmp_path, "br0", "00:11:22:33:44:55", device=False)
    interface(tmp_path, "can0", "00:11:22:33:44:56", kind="280")
    interface(tmp_path, "a-random0", "00:11:22:33:44:57", assigned="1")
    interface(tmp_path, "enp3s0", VENDOR)
    assert mac_of_interface(sysfs=tmp_path) == VENDOR


def test_auto_is_the_same_every_time(tmp_path: Path) -> None:
    """Made-up addresses last, wireless after wired, then by name with numbers as numbers."""
    interface(tmp_path, "a0", "02:00:00:00:00:01")
    assert mac_of_interface(sysfs=tmp_path) == "02:00:00:00:00:01"
    interface(tmp_path, "b0", "00:00:00:00:00:02", wifi=True)
    assert mac_of_interface(sysfs=tmp_path) == "00:00:00:00:00:02"
    interface(tmp_path, "eth10", "00:00:00:00:00:10")
    interface(tmp_path, "eth9", "00:00:00:00:00:09")
    assert mac_of_interface(sysfs=tmp_path) == "00:00:00:00:00:09"
    interface(tmp_path, "eth1", "00:00:00:00:00:01")
    assert mac_of_interface(sysfs=tmp_path) == "00:00:00:00:00:01"


def test_a_member_of_a_bond_keeps_its_own_address(tmp_path: Path) -> None:
    """The kernel gives every member the bond's address and says "set"; the member's own is in bonding_slave."""
    path = interface(tmp_path, "eth0", "00:11:22:33:44:55", assigned="3")
    (path / "bonding_slave").mkdir()
    (path / "bonding_slave" / "perm_hwaddr").write_text(VENDOR + "\n")
    assert mac_of_interface(sysfs=tmp_path) == VENDOR
    assert mac_of_interface("eth0", sysfs=tmp_path) == VENDOR


def test_no_candidate_says_why(tmp_path: Path) -> None:
    interface(tmp_path, "lo", "00:00:00:00:00:00", device=False, kind="772")
    interface(tmp_path, "eth0", "00:11:22:33:44:57", assigned="1")
    interface(tmp_path, "ib0", "00:11:22:33:44:58", kind="32")
    interface(tmp_path, "eth1", "ff:ff:ff:ff:ff:ff")
    (interface(tmp_path, "eth2", VENDOR) / "address").unlink()
    with pytest.raises(ConfigurationError) as caught:
        mac_of_interface(sysfs=tmp_path)
    text = str(caught.value)
    for words in ("lo: virtual", "eth0: its address is not permanent", "ib0: not Ethernet", "eth1: ff", "eth2: MAC"):
        assert words in text
    assert "name an interface or give the address itself" in text


def test_unknown_interfaces_list_the_candidates(tmp_path: Path) -> None:
    interface(tmp_path, "eth0", VENDOR)
    interface(tmp_path, "wlan0", VENDOR)
    with pytest.raises(ConfigurationError, match=r"no network interface 'eth7' \(there are eth0, wlan0\)"):
        mac_of_interface("eth7", sysfs=tmp_path)


@pytest.mark.parametrize("name", ["..", ".", "../net/eth0", "a/b", "", "x" * 16, "e\0", "a b"])
def test_names_that_are_no_interface(tmp_path: Path, name: str) -> None:
    interface(tmp_path, "eth0", VENDOR)
    with pytest.raises(ConfigurationError, match="no network interface"):
        mac_of_interface(name, sysfs=tmp_path)


def test_no_sysfs_at_all(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot list network interfaces"):
        mac_of_interface(sysfs=tmp_path)


def test_what_a_person_may_give(tmp_path: Path) -> None:
    """The --mac option: auto, an interface, or a value; a value is never looked up."""
    interface(tmp_path, "eth0", VENDOR)
    assert resolve_mac("auto", sysfs=tmp_path) == VENDOR
    assert resolve_mac("eth0", sysfs=tmp_path) == VENDOR
    assert resolve_mac("0000.9290.EEE3", sysfs=tmp_path / "nowhere") == "00:00:92:90:ee:e3"
    with pytest.raises(ConfigurationError, match="multicast"):
        resolve_mac("01:00:5e:00:00:01", sysfs=tmp_path)


def kernel_address(name: str) -> str:
    """What the kernel itself answers: SIOCGIFHWADDR, netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        answer = fcntl.ioctl(any_socket, 0x8927, struct.pack("16s240x", name.encode()))
    return answer[18:24].hex(":")


def test_this_machine() -> None:
    """Every physical interface here as the kernel answers, and loopback, which has no address."""
    physical = [path.name for path in (SYSFS / "class" / "net").iterdir() if (path / "device").exists()]
    for name in physical:
        assert mac_of_interface(name) == kernel_address(name)
    if physical:
        assert mac_of_interface() in map(kernel_address, physical)
    with pytest.raises(ConfigurationError, match="names no device"):
        mac_of_interface("lo")
