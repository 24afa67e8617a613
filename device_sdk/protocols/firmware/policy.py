"""Whether a package is for this module, and may be loaded over what is there (RFC 4108 section 1.2.3; F-08, F-10, F-11)."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.protocols.firmware.record import FirmwareRecord
from device_sdk.wire.firmware import (
    FirmwareAttributes,
    LegacyName,
    LoadErrorCode,
    PackageName,
    PreferredName,
    is_member,
    refused,
)

_MEANT = "if the older one is meant, say so (--allow-downgrade; firmware.allow_downgrade for sync)"


@dataclass(frozen=True)
class HardwareModule:
    """The module firmware is loaded into.

    Attributes:
        hw_type: its type, dotted.
        serial: its serial number; None if it has none of its own, and then it is in no list of modules and sends no reports.
        communities: those it is in, dotted.
    """

    hw_type: str
    serial: bytes | None = None
    communities: tuple[str, ...] = ()


@dataclass(frozen=True)
class FirmwarePolicy:
    """What is loaded.

    Attributes:
        module: for which.
        kinds: the types of packages it takes; None for all, those without a type included.
        allow_downgrade: whether an older version may replace a newer one, and what was replaced by something of another
            name may come back; a stale one may not even so.
        packages: object identifiers of the packages it takes, dotted; without any, all, those with a legacy name included.
    """

    module: HardwareModule
    kinds: tuple[int, ...] | None = None
    allow_downgrade: bool = False
    packages: tuple[str, ...] = ()

    def check(self, attributes: FirmwareAttributes, record: FirmwareRecord) -> None:
        """Refuse what must not be loaded; before anything is decrypted.

        Args:
            attributes: what the signer says.
            record: what is there.

        Raises:
            FirmwareError: it must not; `load_error` says why.
        """
        module = self.module
        if module.hw_type not in attributes.hardware:
            raise refused(LoadErrorCode.WRONG_HARDWARE, f"it is for {', '.join(attributes.hardware)[:200]}")
        communities = attributes.communities
        if communities is not None and not is_member(communities, module.communities, module.hw_type, module.serial):
            raise refused(LoadErrorCode.NOT_IN_COMMUNITY, "this module is in none of its communities")
        if self.kinds is not None and attributes.package_type not in self.kinds:
            raise refused(LoadErrorCode.UNSUPPORTED_PACKAGE_TYPE, f"packages of type {attributes.package_type}")
        if self.packages and not (isinstance(attributes.name, PreferredName) and attributes.name.oid in self.packages):
            raise refused(LoadErrorCode.UNSUPPORTED_PACKAGE_TYPE, f"{attributes.name} is no package that is taken here")
        self._check_version(attributes.name, record)
        for needed in attributes.dependencies:
            _check_dependency(needed, record)
        _check_dependents(attributes.name, record)

    def _check_version(self, name: PackageName, record: FirmwareRecord) -> None:
        if isinstance(name, LegacyName):
            if name.value in record.stale_legacy:
                raise refused(LoadErrorCode.STALE_PACKAGE, f"{name} is stale")
            self._check_superseded(name, record)
            return
        if name.version <= record.stale.get(name.oid, -1):
            raise refused(LoadErrorCode.STALE_PACKAGE, f"{name} is stale, as is all up to {record.stale[name.oid]}")
        there = record.find(name)
        if (
            there
            and isinstance(there.name, PreferredName)
            and name.version < there.name.version
            and not self.allow_downgrade
        ):
            raise refused(
                LoadErrorCode.STALE_PACKAGE,
                f"{name} is older than version {there.name.version}, which is installed",
                hint=_MEANT,
            )
        self._check_superseded(name, record)

    def _check_superseded(self, name: PackageName, record: FirmwareRecord) -> None:
        if record.is_superseded(name) and not self.allow_downgrade:
            words = f"{name} was installed before, and replaced by something of another name since"
            raise refused(LoadErrorCode.STALE_PACKAGE, words, hint=_MEANT)


def _check_dependency(needed: PackageName, record: FirmwareRecord) -> None:
    there = record.find(needed)
    if there is None:
        raise refused(LoadErrorCode.MISSING_DEPENDENCY, f"it needs {needed}")
    if not _satisfies(there.name, needed):
        raise refused(LoadErrorCode.WRONG_DEPENDENCY_VERSION, f"it needs {needed}, and {there.name} is installed")


def _check_dependents(name: PackageName, record: FirmwareRecord) -> None:
    """Another package may need a newer version than this one (F-08)."""
    if not isinstance(name, PreferredName):
        return
    for other in record.installed:
        for needed in other.dependencies:
            if isinstance(needed, PreferredName) and needed.oid == name.oid and not _satisfies(name, needed):
                raise refused(LoadErrorCode.BREAKS_DEPENDENCY, f"{other.name} needs {needed}")


def _satisfies(there: PackageName, needed: PackageName) -> bool:
    if isinstance(there, PreferredName) and isinstance(needed, PreferredName):
        return there.version >= needed.version
    return there == needed
