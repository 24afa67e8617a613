"""The MAC address of a network interface, from sysfs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from device_sdk.errors import ConfigurationError
from device_sdk.identity.roots import read_fact
from device_sdk.wire.mac_address import is_locally_administered, looks_like_mac, parse_mac

_ETHERNET = "1"
_PERMANENT = "0"
_NAME = re.compile(r"(?!\.{1,2}$)[^/\s\0]{1,15}")


@dataclass(frozen=True)
class _Candidate:
    """An interface, and why it is or is not the one."""

    name: str
    mac: str | None
    reason: str | None
    wireless: bool = False

    def order(self) -> tuple[bool, bool, list[tuple[int, str]]]:
        """Manufacturer's addresses before made-up ones, wired before wireless, then by name with numbers as numbers."""
        parts = re.findall(r"(\d+)|(\D+)", self.name)
        return is_locally_administered(self.mac or ""), self.wireless, [(int(n or 0), text) for n, text in parts]


def resolve_mac(text: str, *, sysfs: str | Path = "/sys") -> str:
    """A MAC address out of what a person gives: "auto", the name of an interface, or the address itself.

    Raises:
        ConfigurationError: see mac_of_interface and parse_mac.
    """
    # a colon is in no interface's name
    return parse_mac(text) if looks_like_mac(text) or ":" in text else mac_of_interface(text, sysfs=sysfs)


def mac_of_interface(name: str = "auto", *, sysfs: str | Path = "/sys") -> str:
    """The MAC address of one interface, "00:00:92:90:ee:e2".

    "auto" is the same interface on every start: of the physical Ethernet or Wi-Fi interfaces with a permanent address,
    one whose manufacturer assigned it comes before one with a made-up address, wired before wireless, then by name.
    A member of a bond counts with its permanent address.

    Args:
        name: the interface, or "auto".
        sysfs: where sysfs is mounted.

    Raises:
        ConfigurationError: no such interface, or one without a usable address; for "auto", none fits. The message
            lists the interfaces there are, and what is wrong with each.
    """
    net = Path(sysfs) / "class" / "net"
    if name == "auto":
        return _auto(net)
    if not _NAME.fullmatch(name) or not (net / name).is_dir():
        raise ConfigurationError(f"no network interface {name[:64]!r}", hint=_listing(net))
    return parse_mac(_address(net / name))


def physical_macs(*, sysfs: str | Path = "/sys") -> tuple[str, ...]:
    """The addresses of all interfaces that "auto" chooses from, its choice first; none where there is no network at all."""
    net = Path(sysfs) / "class" / "net"
    found = _fitting([_judge(path) for path in _interfaces(net)]) if net.is_dir() else []
    return tuple(dict.fromkeys(one.mac for one in found if one.mac))


def _fitting(candidates: list[_Candidate]) -> list[_Candidate]:
    return sorted((found for found in candidates if found.reason is None), key=_Candidate.order)


def _auto(net: Path) -> str:
    candidates = [_judge(path) for path in _interfaces(net)]
    fitting = _fitting(candidates)
    if not fitting or fitting[0].mac is None:
        raise ConfigurationError(
            "no physical network interface with a permanent MAC address", hint=_describe(candidates)
        )
    return fitting[0].mac


def _judge(path: Path) -> _Candidate:
    """Whether an interface is physical and its address its own."""
    if not (path / "device").exists():
        return _Candidate(path.name, None, "virtual")
    try:
        if read_fact(path / "type", "interface type") != _ETHERNET:
            return _Candidate(path.name, None, "not Ethernet")
        bonded = (path / "bonding_slave" / "perm_hwaddr").exists()
        if not bonded and read_fact(path / "addr_assign_type", "address type") != _PERMANENT:
            return _Candidate(path.name, None, "its address is not permanent")
        mac = parse_mac(_address(path))
    except ConfigurationError as error:
        return _Candidate(path.name, None, error.message)
    wireless = (path / "phy80211").exists() or (path / "wireless").exists()
    return _Candidate(path.name, mac, None, wireless)


def _address(path: Path) -> str:
    """The address of an interface; a bond gives all its members one, so a member's own is kept elsewhere."""
    permanent = path / "bonding_slave" / "perm_hwaddr"
    return read_fact(permanent if permanent.exists() else path / "address", f"MAC address of {path.name}")


def _interfaces(net: Path) -> list[Path]:
    try:
        return sorted(path for path in net.iterdir() if path.is_dir())
    except OSError as error:
        raise ConfigurationError(f"cannot list network interfaces in {net}: {error.strerror}") from error


def _listing(net: Path) -> str:
    return f"there are {', '.join(path.name for path in _interfaces(net)) or 'none'}"


def _describe(candidates: list[_Candidate]) -> str:
    words = ", ".join(f"{found.name}: {found.reason}" for found in candidates) or "no interfaces at all"
    return f"name an interface or give the address itself; there are {words}"
