"""Whether the device on a line is still the one it was, and started as it was to: boards are changed on lines that stay."""

from __future__ import annotations

from collections.abc import Collection

from device_sdk.client.bench.facts import DeviceFacts
from device_sdk.errors import BootLoaderMissedError, WrongDeviceError

_SHOWN = 64


def check_same(before: DeviceFacts, facts: DeviceFacts) -> None:
    """The same serial number, and every MAC address it had.

    Args:
        before: what it said when it was met. Addresses may be added, by what was flashed, and none may go.
        facts: what it says now.

    Raises:
        WrongDeviceError: it is another one.
    """
    hint = "put the first one back, or let it fail; what was asked of the first was not asked of the other"
    serial_number = before.serial_number
    if facts.serial_number != serial_number:
        raise WrongDeviceError(
            f"the line was {serial_number}'s, and now {facts.serial_number[:_SHOWN]!r} answers on it",
            hint=hint,
            serial_number=serial_number,
        )
    gone = set(before.macs) - set(facts.macs)
    if gone:
        raise WrongDeviceError(
            f"{serial_number} had the MAC address {min(gone)}, and who answers now does not: two devices with one serial number?",
            hint=hint,
            serial_number=serial_number,
        )


def check_boot(facts: DeviceFacts, variables: Collection[str]) -> None:
    """Whether what is to be set at the boot loader is set.

    Args:
        facts: what the device says.
        variables: their names.

    Raises:
        BootLoaderMissedError: the boot loader was not met when the device started.
    """
    if variables and facts.boot_loader is None:
        raise BootLoaderMissedError(
            f"{facts.serial_number[:_SHOWN]} has started without its boot loader being met: {', '.join(sorted(variables))} not set",
            hint="switch it off and on again while the station waits for it on this line",
            serial_number=facts.serial_number,
        )
