"""Who a device is: read from its configuration and the machine; nothing of it is secret."""

from __future__ import annotations

from contextlib import suppress

from device_sdk._version import __version__
from device_sdk.client.bench.facts import DeviceFacts
from device_sdk.client.device.bench.configuration import BenchSettings
from device_sdk.errors import ConfigurationError, DeviceSdkError
from device_sdk.identity import IdentitySources, Roots, collect, machine_model, machine_serial, physical_macs
from device_sdk.identity.roots import read_fact
from device_sdk.keystores.places import places_for_keys
from device_sdk.state import StateDirectory
from device_sdk.wire.key_uri import parse_key_uri

_MAX_SERIAL, _MAX_MODEL, _MAX_EXTRA, _MAX_MACS = 64, 256, 256, 64


def facts_of(settings: BenchSettings, now: int, roots: Roots, damage: str | None = None) -> DeviceFacts:
    """The facts; see DeviceBench.facts. Nothing else than the serial number is read of the identity.

    Args:
        settings: the configuration.
        now: what the clock says, POSIX seconds.
        roots: where the machine describes itself.
        damage: why the configuration file does not count.
    """
    state_directory = StateDirectory(settings.state_dir)
    state, journal = state_directory.load(), state_directory.journal()
    extra = {"state_dir": str(settings.state_dir)}
    if settings.key_uri:
        extra["key"] = str(parse_key_uri(settings.key_uri))
    with suppress(ConfigurationError):
        extra["boot_id"] = read_fact(roots.proc / "sys" / "kernel" / "random" / "boot_id", "boot_id")
    if journal is not None:
        extra["under_way"] = f"{journal.operation.value} {journal.phase.value}"
    if damage is not None:
        extra["configuration"] = damage
    return DeviceFacts(
        serial_number=_serial(settings.identity, roots),
        macs=physical_macs(sysfs=roots.sys)[:_MAX_MACS],
        model=machine_model(roots=roots)[:_MAX_MODEL],
        sdk_version=__version__,
        clock=now,
        keystores=places_for_keys(settings.key_uri),
        enrolled=state.current.certificate if state.current else None,
        extra={
            name: "".join(c if c.isprintable() else "?" for c in value[:_MAX_EXTRA]) for name, value in extra.items()
        },
    )


def _serial(sources: IdentitySources, roots: Roots) -> str:
    """That of the configuration, or what the machine has.

    Raises:
        ConfigurationError: none, or one that is no name for a device.
    """
    try:
        serial = IdentitySources(serial=sources.serial, serial_command=sources.serial_command)
        configured = collect(serial, roots=roots).serial_number
    except DeviceSdkError as error:
        raise ConfigurationError(f"the serial number cannot be read: {error.message}", hint=error.hint) from error
    found = configured or machine_serial(roots=roots)
    if not found.isprintable() or len(found) > _MAX_SERIAL:
        raise ConfigurationError(
            f"a serial number of {len(found)} characters", hint=f"at most {_MAX_SERIAL}, all of them printable"
        )
    return found
