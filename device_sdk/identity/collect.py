"""The attributes of a device, from the places a configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_sdk.errors import ConfigurationError
from device_sdk.identity.command import command_output
from device_sdk.identity.mac import resolve_mac
from device_sdk.identity.roots import Roots
from device_sdk.identity.serial import device_tree_serial, dmi_value, machine_id
from device_sdk.model.csr import DeviceAttributes
from device_sdk.wire.hardware_module_name import object_identifier


@dataclass(frozen=True)
class IdentitySources:
    """Where each attribute comes from; what is None is not asked for, and nothing is read for it.

    Attributes:
        mac: "auto", the name of an interface, or the address itself.
        serial: "dmi" or "dmi:board_serial", "device-tree", "machine-id" (hashed for this SDK) or "machine-id:raw", or
            the value itself; "value:dmi" for a value that reads like a source.
        serial_command: instead of `serial`, a command that prints it: program and arguments, no shell.
        hardware_type: OID of the kind of hardware, for a hardwareModuleName.
        hardware_serial: its serial number; if None, the bytes of the serial number above.
        dns_names: for the SAN.
        uris: for the SAN.
    """

    mac: str | None = None
    serial: str | None = None
    serial_command: Sequence[str] = ()
    hardware_type: str | None = None
    hardware_serial: bytes | None = None
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()


def collect(sources: IdentitySources, *, roots: Roots | None = None) -> DeviceAttributes:
    """Read exactly what was asked for.

    Args:
        sources: what to read, and from where.
        roots: where sysfs, procfs and /etc are.

    Raises:
        ConfigurationError: a source that does not exist or has no usable value; a hardware type without any serial.
    """
    roots = roots or Roots()
    serial = _serial(sources, roots)
    return DeviceAttributes(
        mac_address=None if sources.mac is None else resolve_mac(sources.mac, sysfs=roots.sys),
        serial_number=serial,
        hardware_type=None if sources.hardware_type is None else object_identifier(sources.hardware_type),
        hardware_serial=_hardware_serial(sources, serial),
        dns_names=sources.dns_names,
        uris=sources.uris,
    )


def _serial(sources: IdentitySources, roots: Roots) -> str | None:
    if sources.serial_command:
        if sources.serial is not None:
            raise ConfigurationError("the serial number is given twice: by a source and by a command")
        return command_output(sources.serial_command)
    if sources.serial is None:
        return None
    kind, _, detail = sources.serial.partition(":")
    match kind, detail:
        case "dmi", _:
            return dmi_value(detail or "product_serial", roots=roots)
        case "device-tree", "":
            return device_tree_serial(roots=roots)
        case "machine-id", "":
            return machine_id(roots=roots)
        case "machine-id", "raw":
            return machine_id(application=None, roots=roots)
        case "value", _:
            return detail
        case _:
            return sources.serial


def _hardware_serial(sources: IdentitySources, serial: str | None) -> bytes | None:
    if sources.hardware_type is None:
        if sources.hardware_serial is not None:
            raise ConfigurationError("a hardware serial number needs the hardware type, an OID, beside it")
        return None
    if sources.hardware_serial is None and serial is None:
        raise ConfigurationError("a hardware type needs a serial number beside it")
    return sources.hardware_serial if sources.hardware_serial is not None else (serial or "").encode()
