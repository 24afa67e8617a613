"""What a module remembers of firmware: packages that are installed, and versions that must not come back (F-08, F-10)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from device_sdk.errors import WireError
from device_sdk.wire.firmware import FirmwareAttributes, LegacyName, LoadErrorCode, PackageName, PreferredName, refused

MAX_NAMES = 64
"""The most packages, and the most stale versions; nothing is forgotten to make room (RFC 4108 section 6.3)."""

MAX_SUPERSEDED = 512
"""The most names of what was replaced; then the oldest is forgotten, which takes so many packages that were signed and taken."""

_VERSION = 1


@dataclass(frozen=True)
class InstalledPackage:
    """One that is installed.

    Attributes:
        name: of the package.
        kind: its type, or None.
        dependencies: what it needs.
        sha256: of the firmware; None in records of old.
        place: by which installer it came; see Installer.
    """

    name: PackageName
    kind: int | None = None
    dependencies: tuple[PackageName, ...] = ()
    sha256: bytes | None = None
    place: str = ""


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
        superseded: names of what was installed and does not run any more since another name came, the oldest first.
    """

    installed: tuple[InstalledPackage, ...] = ()
    stale: Mapping[str, int] = field(default_factory=dict)
    stale_legacy: tuple[bytes, ...] = ()
    pending: PendingPackage | None = None
    superseded: tuple[PackageName, ...] = ()

    def find(self, name: PackageName) -> InstalledPackage | None:
        """What is installed of the same object identifier, or legacy name."""
        return next((one for one in self.installed if _same(one.name, name)), None)

    def committed(self, new: PendingPackage) -> FirmwareRecord:
        """The record once a package is installed.

        Raises:
            FirmwareError: there is no room for one name more.
        """
        package = replace(new.package, sha256=new.sha256 or None)
        installed = (*(one for one in self.installed if not _same(one.name, package.name)), package)
        superseded = tuple(name for name in self.superseded if not _same(name, package.name))
        stale, legacy = dict(self.stale), self.stale_legacy
        if isinstance(new.stale, bytes):
            legacy = tuple(dict.fromkeys((*legacy, new.stale)))
        elif new.stale is not None and isinstance(new.package.name, PreferredName):
            oid = new.package.name.oid
            stale[oid] = max(new.stale, stale.get(oid, 0))
        if len(installed) > MAX_NAMES or len(stale) + len(legacy) > MAX_NAMES:
            raise refused(LoadErrorCode.INSUFFICIENT_MEMORY, "the list of packages, or of stale versions, is full")
        return FirmwareRecord(installed, stale, legacy, None, superseded)

    def without(self, gone: Collection[InstalledPackage]) -> FirmwareRecord:
        """The record once these are known not to run any more; their names do not come back by themselves."""
        names = [one.name for one in gone]
        before = (name for name in self.superseded if not any(_same(name, other) for other in names))
        return replace(
            self,
            installed=tuple(one for one in self.installed if one not in gone),
            superseded=(*before, *names)[-MAX_SUPERSEDED:],
        )

    def is_superseded(self, name: PackageName) -> bool:
        """Whether it, or a newer version of it, was installed and replaced by something of another name."""
        if isinstance(name, LegacyName):
            return name in self.superseded
        return any(
            isinstance(one, PreferredName) and one.oid == name.oid and one.version >= name.version
            for one in self.superseded
        )

    def beginning(self, new: PendingPackage) -> FirmwareRecord:
        """The record while a package is being installed."""
        return replace(self, pending=new)


def pending_of(attributes: FirmwareAttributes, sha256: bytes, place: str = "") -> PendingPackage:
    """What the record will have of a package that comes by an installer of that place."""
    package = InstalledPackage(attributes.name, attributes.package_type, attributes.dependencies, place=place)
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
    if record.superseded:
        data["superseded"] = [_name(one) for one in record.superseded]
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
            tuple(_read_name(one) for one in data.get("superseded", ())),
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
    # what a record of old has not is left out, so that its MAC is the same
    more = {"sha256": one.sha256.hex() if one.sha256 else None, "place": one.place}
    dependencies = [_name(name) for name in one.dependencies]
    return {"name": _name(one.name), "kind": one.kind, "dependencies": dependencies} | {
        k: v for k, v in more.items() if v
    }


def _name(name: PackageName) -> dict[str, Any]:
    if isinstance(name, LegacyName):
        return {"legacy": name.value.hex()}
    return {"oid": name.oid, "version": name.version}


def _read_package(data: Any) -> InstalledPackage:
    kind = data["kind"]
    names = tuple(_read_name(name) for name in data["dependencies"])
    return InstalledPackage(
        _read_name(data["name"]),
        None if kind is None else int(kind),
        names,
        bytes.fromhex(data.get("sha256", "")) or None,
        str(data.get("place", "")),
    )


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
