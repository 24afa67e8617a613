"""CommunityIdentifiers: which modules a restricted package is for (RFC 4108 section 2.2.8)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from device_sdk.wire.cms.reader import OCTET_STRING, OID, Reader

MAX_COMMUNITIES = 256
MAX_ENTRIES = 1024

_NULL = 0x05


@dataclass(frozen=True)
class Serials:
    """Serial numbers from `low` to `high`, both of one length and part of it; None for all there are."""

    low: bytes | None = None
    high: bytes | None = None

    def has(self, serial: bytes) -> bool:
        """Whether a serial number is among them: one of another length is not."""
        if self.low is None or self.high is None:
            return True
        return len(serial) == len(self.low) and self.low <= serial <= self.high


@dataclass(frozen=True)
class HardwareModules:
    """Modules of one type, by serial number."""

    hw_type: str
    entries: tuple[Serials, ...]


Community: TypeAlias = str | HardwareModules
"""An object identifier, dotted, or a list of modules."""


def is_member(communities: Collection[Community], own: Collection[str], hw_type: str, serial: bytes | None) -> bool:
    """Whether a module is in one of the communities; without a serial number it is in no list of modules.

    Args:
        communities: of the package.
        own: those the module is in, dotted.
        hw_type: of the module.
        serial: of the module.
    """
    for one in communities:
        if isinstance(one, str):
            if one in own:
                return True
        elif one.hw_type == hw_type and serial is not None and any(entry.has(serial) for entry in one.entries):
            return True
    return False


def read_communities(reader: Reader) -> tuple[Community, ...]:
    """The value of the attribute.

    Raises:
        ValueError: none at all, too many, or not what the standard says.
    """
    members, found = reader.enter(), []
    while members.next_tag is not None:
        found.append(members.oid() if members.next_tag == OID else read_modules(members.enter()))
        if len(found) > MAX_COMMUNITIES:
            raise ValueError("too many communities")
    if not found:
        raise ValueError("no communities")
    return tuple(found)


def read_modules(data: Reader) -> HardwareModules:
    """HardwareModules, from its inside; RFC 5934 section 4.1 has the same.

    Raises:
        ValueError: too many serial numbers, none, or not what the standard says.
    """
    hw_type, members = data.oid(), data.enter()
    data.finish()
    entries: list[Serials] = []
    while members.next_tag is not None:
        entries.append(_entry(members))
        if len(entries) > MAX_ENTRIES:
            raise ValueError("too many serial numbers")
    if not entries:
        raise ValueError("no serial numbers")
    return HardwareModules(hw_type, tuple(entries))


def _entry(members: Reader) -> Serials:
    if members.next_tag == _NULL:
        if members.contents(_NULL):
            raise ValueError("a NULL with contents")
        return Serials()
    if members.next_tag == OCTET_STRING:
        single = members.octets()
        return Serials(single, single)
    block = members.enter()
    low, high = block.octets(), block.octets()
    block.finish()
    if len(low) != len(high) or low > high:
        raise ValueError("a block of serial numbers that is none")
    return Serials(low, high)
