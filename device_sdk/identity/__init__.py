"""Where the attributes of a device come from: sysfs, DMI, the device tree, configuration, or a command.

Nothing is read from the machine that was not asked for by name: a MAC address or a serial number is personal data in
many places (EST-177).
"""

from __future__ import annotations

from device_sdk.identity.collect import IdentitySources, collect
from device_sdk.identity.command import command_output
from device_sdk.identity.mac import mac_of_interface, physical_macs, resolve_mac
from device_sdk.identity.machine import machine_model, machine_serial
from device_sdk.identity.roots import Roots
from device_sdk.identity.serial import device_tree_serial, dmi_value, machine_id

__all__ = [
    "IdentitySources",
    "Roots",
    "collect",
    "command_output",
    "device_tree_serial",
    "dmi_value",
    "mac_of_interface",
    "machine_id",
    "machine_model",
    "machine_serial",
    "physical_macs",
    "resolve_mac",
]
