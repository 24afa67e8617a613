"""TargetIdentifier: which trust anchor stores a message is for (RFC 5934 section 4.1; T-06)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from device_sdk.wire.cms.reader import Reader
from device_sdk.wire.firmware.communities import HardwareModules, read_modules
from device_sdk.wire.tamp.strict import several

MAX_TARGETS = 256

_MODULES, _COMMUNITIES, _ALL, _URI, _OTHER = 0xA1, 0xA2, 0x83, 0x84, 0xA5
_OTHER_VALUE = 0xA0


@dataclass(frozen=True)
class AllModules:
    """Everybody whom the signer may manage."""


@dataclass(frozen=True)
class Modules:
    """Hardware modules by type, each named once, and serial number."""

    modules: tuple[HardwareModules, ...]


@dataclass(frozen=True)
class Communities:
    """Members of any of these communities, dotted; none at all is possible."""

    communities: tuple[str, ...]


@dataclass(frozen=True)
class Uri:
    """The store that has this URI for a name."""

    uri: str


@dataclass(frozen=True)
class OtherName:
    """The store that has this name.

    Attributes:
        kind: type-id, dotted.
        value: DER.
    """

    kind: str
    value: bytes


Target: TypeAlias = AllModules | Modules | Communities | Uri | OtherName


def read_target(reader: Reader) -> tuple[Target, bytes]:
    """The target, and its encoding, which answers repeat.

    Raises:
        ValueError: it is none, or names a hardware type twice.
    """
    tag = reader.next_tag
    encoded = reader.element()
    inner = type(reader)(encoded)
    if tag == _ALL:
        if inner.contents(_ALL):
            raise ValueError("a NULL with contents")
        return AllModules(), encoded
    if tag == _MODULES:
        modules = several(inner.enter(_MODULES), lambda one: read_modules(one.enter()), MAX_TARGETS)
        if len({one.hw_type for one in modules}) != len(modules):
            raise ValueError("a hardware type twice")
        return Modules(modules), encoded
    if tag == _COMMUNITIES:
        return Communities(read_communities(inner.enter(_COMMUNITIES))), encoded
    if tag == _URI:
        return Uri(inner.contents(_URI).decode("ascii")), encoded
    if tag == _OTHER:
        name = inner.enter(_OTHER)
        kind, value = name.oid(), name.contents(_OTHER_VALUE)
        name.finish()
        return OtherName(kind, value), encoded
    raise ValueError("a target of an unknown kind")


def read_communities(members: Reader) -> tuple[str, ...]:
    """CommunityIdentifierList, from its inside; may be empty.

    Raises:
        ValueError: it cannot be read, or is too long.
    """
    return several(members, lambda one: one.oid(), MAX_TARGETS, least=0)
