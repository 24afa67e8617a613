"""PreferredOrLegacyPackageIdentifier: what a firmware package is called (RFC 4108 section 2.2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from device_sdk.wire import der
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE, Reader

MAX_LEGACY_BYTES = 256


@dataclass(frozen=True)
class PreferredName:
    """An object identifier, dotted, and a version that counts."""

    oid: str
    version: int

    def __str__(self) -> str:
        return f"{self.oid} version {self.version}"


@dataclass(frozen=True)
class LegacyName:
    """Bytes of the maker's own; whether one is newer than another cannot be told."""

    value: bytes

    def __str__(self) -> str:
        text = self.value.decode("ascii", "replace")
        return text if text.isprintable() and "\ufffd" not in text else self.value.hex()


PackageName: TypeAlias = PreferredName | LegacyName


def encode_name(name: PackageName) -> bytes:
    """DER."""
    if isinstance(name, LegacyName):
        return der.tlv(OCTET_STRING, name.value)
    return der.sequence(der.oid(name.oid), der.integer(name.version))


def read_name(reader: Reader) -> PackageName:
    """The next element.

    Raises:
        ValueError: neither form, a version below 0, or a name that is too long.
    """
    if reader.next_tag != SEQUENCE:
        return LegacyName(read_legacy(reader))
    preferred = reader.enter()
    name = PreferredName(preferred.oid(), read_version(preferred))
    preferred.finish()
    return name


def read_version(reader: Reader) -> int:
    """INTEGER (0..MAX); more than 8 bytes are too many."""
    version = reader.integer()
    if version < 0:
        raise ValueError("a version below 0")
    return version


def read_legacy(reader: Reader) -> bytes:
    """OCTET STRING, bounded."""
    value = reader.octets()
    if not 1 <= len(value) <= MAX_LEGACY_BYTES:
        raise ValueError("a legacy name that is empty or too long")
    return value
