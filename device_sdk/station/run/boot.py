"""What a boot loader says of a device, beside what its system says."""

from __future__ import annotations

from device_sdk.client.bench import DeviceFacts
from device_sdk.errors import ConfigurationError, WrongDeviceError
from device_sdk.station.profile.lines import TalkTable
from device_sdk.wire.mac_address import parse_mac

_SHOWN = 64


def about_boot(facts: DeviceFacts, talk: TalkTable) -> dict[str, object]:
    """What the ledger is told of the boot loader, where the profile has one; names of what was set there, no values."""
    if not talk.uboot:
        return {}
    if facts.boot_loader is None:
        return {"boot_loader": "not met"}
    return {"boot_loader": dict(facts.boot_loader), "boot_loader_set": sorted(talk.uboot_variables)}


def compare_boot(facts: DeviceFacts, talk: TalkTable) -> str | None:
    """What the boot loader says otherwise than the system, in words; None if nothing.

    Both have their address and number from the factory, and a copied environment or image shows here first.

    Raises:
        WrongDeviceError: there is something, and the profile does not take such devices.
    """
    differs = _differs(facts)
    if differs is not None and talk.uboot_differs != "note":
        raise WrongDeviceError(
            f"{facts.serial_number}: {differs}",
            hint='an environment or image of another board? [talk] uboot_differs = "note" takes such devices',
            serial_number=facts.serial_number,
        )
    return differs


def _differs(facts: DeviceFacts) -> str | None:
    said = facts.boot_loader or {}
    number, address = said.get("serial#", facts.serial_number), said.get("ethaddr", "")
    if number != facts.serial_number:
        return f"its boot loader has the serial number {number[:_SHOWN]!a}"
    try:
        if not address or not facts.macs or parse_mac(address) in map(parse_mac, facts.macs):
            return None
    except ConfigurationError:
        return f"its boot loader has the MAC address {address[:_SHOWN]!a}, which cannot be one"
    return f"its boot loader has the MAC address {address}, and its system has {', '.join(facts.macs)[:256]}"
