"""The signed attributes of a firmware package (RFC 4108 section 2.2; F-07)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from device_sdk.wire.cms.reader import INTEGER, Reader
from device_sdk.wire.firmware import oids
from device_sdk.wire.firmware.codes import LoadErrorCode, refused, refusing
from device_sdk.wire.firmware.communities import Community, read_communities
from device_sdk.wire.firmware.names import PackageName, PreferredName, read_legacy, read_name, read_version

MAX_TARGETS = 256
MAX_DEPENDENCIES = 64
MAX_KEY_ID_BYTES = 64

T = TypeVar("T")
_CODE = LoadErrorCode.BAD_SIGNED_ATTRS


@dataclass(frozen=True)
class FirmwareAttributes:
    """What a signer says of a package.

    Attributes:
        name: of the package.
        stale: versions up to this one must not be loaded any more, or the legacy name that must not; None for none.
        hardware: the types of modules the package is for, dotted.
        decrypt_key: names the key it is encrypted with; None if it is not encrypted.
        communities: whom it is restricted to; None for nobody in particular.
        package_type: a number of the maker's.
        dependencies: what has to be there already.
        digest: object identifier of a hash, and that hash of the firmware itself.
    """

    name: PackageName
    stale: int | bytes | None
    hardware: tuple[str, ...]
    decrypt_key: bytes | None = None
    communities: tuple[Community, ...] | None = None
    package_type: int | None = None
    dependencies: tuple[PackageName, ...] = ()
    digest: tuple[str, bytes] | None = None


def read_firmware_attributes(attributes: Mapping[str, tuple[bytes, ...]]) -> FirmwareAttributes:
    """Read those this SDK knows; others do not matter (F-06).

    Args:
        attributes: DER of the values by object identifier, as a SignerInfo has them.

    Raises:
        FirmwareError: one of the two that must be there is not, one has several values, or cannot be read.
    """
    name, stale = _required(attributes, oids.PACKAGE_ID, _read_identifier)
    package_type, dependencies = _optional(attributes, oids.PACKAGE_INFO, _read_info) or (None, ())
    _optional(attributes, oids.CONTENT_HINTS, _check_hints)
    return FirmwareAttributes(
        name=name,
        stale=stale,
        hardware=_required(attributes, oids.TARGET_HARDWARE, _read_targets),
        decrypt_key=_optional(attributes, oids.DECRYPT_KEY_ID, _read_key_id),
        communities=_optional(attributes, oids.COMMUNITIES, read_communities),
        package_type=package_type,
        dependencies=dependencies,
        digest=_optional(attributes, oids.PACKAGE_DIGEST, _read_digest),
    )


def _required(attributes: Mapping[str, tuple[bytes, ...]], oid: str, read: Callable[[Reader], T]) -> T:
    if oid not in attributes:
        raise refused(_CODE, f"the signed attribute {oid} is missing")
    return _read(oid, attributes[oid], read)


def _optional(attributes: Mapping[str, tuple[bytes, ...]], oid: str, read: Callable[[Reader], T]) -> T | None:
    return _read(oid, attributes[oid], read) if oid in attributes else None


def _read(oid: str, values: tuple[bytes, ...], read: Callable[[Reader], T]) -> T:
    with refusing(_CODE, f"the signed attribute {oid}"):
        if len(values) != 1:
            raise ValueError("not exactly one value")
        reader = Reader(values[0])
        found = read(reader)
        reader.finish()
    return found


def _read_identifier(reader: Reader) -> tuple[PackageName, int | bytes | None]:
    data = reader.enter()
    name, stale = read_name(data), None
    if data.next_tag is not None:
        # a number goes with a number, a legacy name with a legacy name
        stale = read_version(data) if isinstance(name, PreferredName) else read_legacy(data)
    data.finish()
    return name, stale


def _read_targets(reader: Reader) -> tuple[str, ...]:
    members, found = reader.enter(), []
    while members.next_tag is not None:
        found.append(members.oid())
        if len(found) > MAX_TARGETS:
            raise ValueError("too many types of hardware")
    return tuple(found)


def _read_key_id(reader: Reader) -> bytes:
    value = reader.octets()
    if not 1 <= len(value) <= MAX_KEY_ID_BYTES:
        raise ValueError("a key identifier that is empty or too long")
    return value


def _read_info(reader: Reader) -> tuple[int | None, tuple[PackageName, ...]]:
    data, found = reader.enter(), []
    package_type = data.integer() if data.next_tag == INTEGER else None
    if data.next_tag is not None:
        members = data.enter()
        while members.next_tag is not None:
            found.append(read_name(members))
            if len(found) > MAX_DEPENDENCIES:
                raise ValueError("too many dependencies")
    data.finish()
    return package_type, tuple(found)


def _read_digest(reader: Reader) -> tuple[str, bytes]:
    data = reader.enter()
    found = data.enter().oid(), data.octets()
    data.finish()
    return found


def _check_hints(reader: Reader) -> None:
    """RFC 4108 section 2.2.6: both fields, and the type is that of a firmware package."""
    data = reader.enter()
    if data.next_tag == 0x0C:
        data.contents()
    if data.oid() != oids.FIRMWARE_PACKAGE:
        raise ValueError("hints at another type of content")
    data.finish()
