"""What a module remembers of firmware: packages that are installed, and versions that must not come back (F-08, F-10)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from device_sdk.errors import WireError
from device_sdk.wire.firmware import FirmwareAttributes, LegacyName, LoadErrorCode, PackageName, PreferredName, refused

MAX_NAMES = 64
"""The most packages, and the most stale versions; nothing is forgotten to make room (RFC 4108 section 6.3)."""

_VERSION = 1


@dataclass(frozen=True)
class InstalledPackage:
    """One that is installed.

    Attributes:
        name: of the package.
        kind: its type, or None.
        dependencies: what it needs.
    """

    name: PackageName
    kind: int | None = None
    dependencies: tuple[PackageName, ...] = ()


@dataclass(frozen=True)
class PendingPackage:
    """One whose installation was begun and not ended.

    Attributes:
        package: as it will be.
        stale: what becomes stale with it.
        sha256: of the firmware.
    """

    package: InstalledPackage
    stale: int | bytes | None
    sha256: bytes


@dataclass(frozen=True)
class FirmwareRecord:
    """The memory.

    Attributes:
        installed: packages, one for each object identifier, and all with legacy names.
        stale: object identifier to the newest version that must not be loaded any more.
        stale_legacy: legacy names that must not.
        pending: what was going on when the power failed, or None.
    """

    installed: tuple[InstalledPackage, ...] = ()
    stale: Mapping[str, int] = field(default_factory=dict)
    stale_legacy: tuple[bytes, ...] = ()
    pending: PendingPackage | None = None

    def find(self, name: PackageName) -> InstalledPackage | None:
        """What is installed of the same object identifier, or legacy name."""
        return next((one for one in self.installed if _same(one.name, name)), None)

    def committed(self, new: PendingPackage) -> FirmwareRecord:
        """The record once a package is installed.

        Raises:
            FirmwareError: there is no room for one name more.
        """
        installed = (*(one for one in self.installed if not _same(one.name, new.package.name)), new.package)
        stale, legacy = dict(self.stale), self.stale_legacy
        if isinstance(new.stale, bytes):
            legacy = tuple(dict.fromkeys((*legacy, new.stale)))
        elif new.stale is not None and isinstance(new.package.name, PreferredName):
            oid = new.package.name.oid
            stale[oid] = max(new.stale, stale.get(oid, 0))
        if len(installed) > MAX_NAMES or len(stale) + len(legacy) > MAX_NAMES:
            raise refused(LoadErrorCode.INSUFFICIENT_MEMORY, "the list of packages, or of stale versions, is full")
        return FirmwareRecord(installed, stale, legacy)

    def beginning(self, new: PendingPackage) -> FirmwareRecord:
        """The record while a package is being installed."""
        return replace(self, pending=new)


def pending_of(attributes: FirmwareAttributes, sha256: bytes) -> PendingPackage:
    """What the record will have of a package."""
    package = InstalledPackage(attributes.name, attributes.package_type, attributes.dependencies)
    return PendingPackage(package, attributes.stale, sha256)


@dataclass(frozen=True)
class Binding:
    """What binds a record to a counter in hardware.

    Attributes:
        generation: value of the counter that it belongs to.
        key: of the MAC, as the hardware wrapped it.
        mac: over generation and record.
    """

    generation: int
    key: str
    mac: bytes


def encode_record(record: FirmwareRecord, binding: Binding | None = None) -> bytes:
    """JSON, for a file."""
    pending = record.pending
    data: dict[str, Any] = {
        "version": _VERSION,
        "installed": [_package(one) for one in record.installed],
        "stale": dict(record.stale),
        "stale_legacy": [one.hex() for one in record.stale_legacy],
        "pending": None
        if pending is None
        else {
            "package": _package(pending.package),
            "stale": pending.stale.hex() if isinstance(pending.stale, bytes) else pending.stale,
            "sha256": pending.sha256.hex(),
        },
    }
    if binding is not None:
        data["bound"] = {"generation": binding.generation, "key": binding.key, "mac": binding.mac.hex()}
    return json.dumps(data, indent=1, sort_keys=True).encode() + b"\n"


def authenticated(record: FirmwareRecord, generation: int) -> bytes:
    """What the MAC of a binding is over: the record as it is written without one, so that no other reading has the same."""
    return b"device-sdk firmware record\0" + generation.to_bytes(8, "big") + encode_record(record)


def read_record(content: bytes) -> FirmwareRecord:
    """Read what `encode_record` wrote.

    Raises:
        WireError: it is something else; nothing is guessed, as that would let stale packages in again.
    """
    try:
        data = json.loads(content)
        if data["version"] != _VERSION:
            raise ValueError("another version")
        pending = data["pending"]
        return FirmwareRecord(
            tuple(_read_package(one) for one in data["installed"]),
            {str(oid): int(version) for oid, version in data["stale"].items()},
            tuple(bytes.fromhex(one) for one in data["stale_legacy"]),
            None if pending is None else _read_pending(pending),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError("not a record of installed firmware", what="firmware record") from error


def read_binding(content: bytes) -> Binding | None:
    """The binding of a record; None if it has none.

    Raises:
        WireError: it is something else.
    """
    try:
        bound = json.loads(content).get("bound")
        if bound is None:
            return None
        generation, key = bound["generation"], bound["key"]
        if not isinstance(generation, int) or not isinstance(key, str) or not 0 < generation < 1 << 64:
            raise ValueError("no generation, or no key")
        return Binding(generation, key, bytes.fromhex(bound["mac"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WireError("not the binding of a record", what="firmware record") from error


def _package(one: InstalledPackage) -> dict[str, Any]:
    return {"name": _name(one.name), "kind": one.kind, "dependencies": [_name(name) for name in one.dependencies]}


def _name(name: PackageName) -> dict[str, Any]:
    if isinstance(name, LegacyName):
        return {"legacy": name.value.hex()}
    return {"oid": name.oid, "version": name.version}


def _read_package(data: Any) -> InstalledPackage:
    kind = data["kind"]
    names = tuple(_read_name(name) for name in data["dependencies"])
    return InstalledPackage(_read_name(data["name"]), None if kind is None else int(kind), names)


def _read_name(data: Any) -> PackageName:
    if "legacy" in data:
        return LegacyName(bytes.fromhex(data["legacy"]))
    return PreferredName(str(data["oid"]), int(data["version"]))


def _read_pending(data: Any) -> PendingPackage:
    stale = data["stale"]
    return PendingPackage(
        _read_package(data["package"]),
        bytes.fromhex(stale) if isinstance(stale, str) else stale,
        bytes.fromhex(data["sha256"]),
    )


def _same(one: PackageName, other: PackageName) -> bool:
    if isinstance(one, PreferredName) and isinstance(other, PreferredName):
        return one.oid == other.oid
    return one == other
