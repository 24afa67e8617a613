"""Boots in which the boot loader was met: what was set there counts until the device is started again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from device_sdk.client.bench.facts import DeviceFacts

BOOT_ID = "boot_id"
"""Which boot it is, in what a device says: Linux's random boot_id, another one each time."""
_PREFIX = "boot-loader."


class Boots:
    """What boot loaders said, by the boot that followed."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], Mapping[str, str]] = {}

    def told(self, facts: DeviceFacts, met: Mapping[str, str] | None) -> DeviceFacts:
        """The facts, with what the boot loader said at the beginning of this boot.

        Args:
            facts: what the device's system says.
            met: what its boot loader said on the way into this shell; None if it was not met there.
        """
        boot_id = facts.extra.get(BOOT_ID)
        if met is not None and boot_id:
            self._said[facts.serial_number, boot_id] = met
        said = met if met is not None else self._said.get((facts.serial_number, boot_id or ""))
        own = {name: word for name, word in facts.extra.items() if not name.startswith(_PREFIX)}
        extra = {f"{_PREFIX}{name}": value for name, value in (said or {}).items()}
        return replace(facts, extra=own | extra, boot_loader=said)
