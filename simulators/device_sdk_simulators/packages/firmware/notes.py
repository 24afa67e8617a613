"""What a signer says of a firmware package: the signed attributes of RFC 4108 section 2.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from pyasn1.type import univ
from pyasn1_alt_modules import rfc2634, rfc4108, rfc5652

from device_sdk_simulators.packages.signing import attribute

Name: TypeAlias = tuple[str, int] | bytes
"""An object identifier and a version, or a legacy name."""

Serials: TypeAlias = bytes | tuple[bytes, bytes] | None
"""One serial number, the first and the last of a block, or None for all."""

_SHA256 = "2.16.840.1.101.3.4.2.1"


@dataclass(frozen=True)
class Notes:
    """About one package.

    Attributes:
        name: of the package.
        hardware: types of modules it is for.
        stale: the newest version that must not be loaded any more, or a legacy name.
        communities: object identifiers, or a type of hardware and serial numbers.
        kind: fwPkgType.
        dependencies: names of packages.
    """

    name: Name
    hardware: tuple[str, ...]
    stale: int | bytes | None = None
    communities: tuple[str | tuple[str, tuple[Serials, ...]], ...] = ()
    kind: int | None = None
    dependencies: tuple[Name, ...] = ()

    def attributes(self, firmware_digest: bytes | None, decrypt_key: bytes | None) -> list[rfc5652.Attribute]:
        """All of them but those of CMS.

        Args:
            firmware_digest: SHA-256 of the firmware, or None to leave it out.
            decrypt_key: names the key it is encrypted with, or None.
        """
        found = [self._identifier(), self._targets(), _hints()]
        if self.communities:
            found.append(self._communities())
        if self.kind is not None or self.dependencies:
            found.append(self._info())
        if firmware_digest is not None:
            digest = rfc4108.FirmwarePackageMessageDigest()
            digest["algorithm"]["algorithm"] = _SHA256
            digest["msgDigest"] = firmware_digest
            found.append(attribute(rfc4108.id_aa_fwPkgMessageDigest, digest))
        if decrypt_key is not None:
            found.append(attribute(rfc4108.id_aa_decryptKeyID, rfc4108.DecryptKeyIdentifier(decrypt_key)))
        return found

    def _identifier(self) -> rfc5652.Attribute:
        value = rfc4108.FirmwarePackageIdentifier()
        _fill(value["name"], self.name)
        if isinstance(self.stale, bytes):
            value["stale"]["legacyStaleVersion"] = self.stale
        elif self.stale is not None:
            value["stale"]["preferredStaleVerNum"] = self.stale
        return attribute(rfc4108.id_aa_firmwarePackageID, value)

    def _targets(self) -> rfc5652.Attribute:
        value = rfc4108.TargetHardwareIdentifiers()
        value.extend(self.hardware)
        return attribute(rfc4108.id_aa_targetHardwareIDs, value)

    def _communities(self) -> rfc5652.Attribute:
        value = rfc4108.CommunityIdentifiers()
        for position, one in enumerate(self.communities):
            if isinstance(one, str):
                value[position]["communityOID"] = one
                continue
            modules = value[position]["hwModuleList"]
            modules["hwType"] = one[0]
            for number, serials in enumerate(one[1]):
                fill_serials(modules["hwSerialEntries"][number], serials)
        return attribute(rfc4108.id_aa_communityIdentifiers, value)

    def _info(self) -> rfc5652.Attribute:
        value = rfc4108.FirmwarePackageInfo()
        if self.kind is not None:
            value["fwPkgType"] = self.kind
        for position, name in enumerate(self.dependencies):
            _fill(value["dependencies"][position], name)
        return attribute(rfc4108.id_aa_firmwarePackageInfo, value)


def package_name(name: Name) -> Any:
    """PreferredOrLegacyPackageIdentifier."""
    found = rfc4108.PreferredOrLegacyPackageIdentifier()
    _fill(found, name)
    return found


def _hints() -> rfc5652.Attribute:
    hints = rfc2634.ContentHints()
    hints["contentDescription"] = "firmware"
    hints["contentType"] = rfc4108.id_ct_firmwarePackage
    return attribute(rfc2634.id_aa_contentHint, hints)


def _fill(choice: Any, name: Name) -> None:
    if isinstance(name, bytes):
        choice["legacy"] = name
    else:
        choice["preferred"]["fwPkgID"], choice["preferred"]["verNum"] = name


def fill_serials(entry: Any, serials: Serials) -> None:
    """HardwareSerialEntry, of RFC 4108 or of RFC 5934."""
    if serials is None:
        entry["all"] = univ.Null("")
    elif isinstance(serials, bytes):
        entry["single"] = serials
    else:
        entry["block"]["low"], entry["block"]["high"] = serials
