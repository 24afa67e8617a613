"""A package of symmetric keys out of the nestings of RFC 8295 section 5.1.2 (K-03)."""

from __future__ import annotations

from dataclasses import dataclass

from device_sdk.protocols.key_packages.layers import PackageRules, Peeled, Trace
from device_sdk.protocols.key_packages.layers import peel as peel_to
from device_sdk.wire.cms.envelope import Keys
from device_sdk.wire.key_packages.symmetric import (
    SymmetricKeyPackage,
    read_symmetric_key_package,
)


@dataclass(frozen=True)
class PeeledPackage(Peeled):
    """The same, read.

    Attributes:
        package: the keys.
    """

    package: SymmetricKeyPackage


def peel(message: bytes, rules: PackageRules, keys: Keys = (), *, trace: Trace | None = None) -> PeeledPackage:
    """Take off all layers down to the SymmetricKeyPackage, and read it; see `key_packages.layers.peel`.

    Raises:
        KeyPackageUntrustedError, KeyPackageRefusedError, EnvelopeError, KeyStoreError: as there.
        WireError: not a message that can be read, or not such a package.
    """
    found = peel_to(message, rules, keys, trace=trace)
    package = read_symmetric_key_package(found.content)
    return PeeledPackage(found.content, found.layers, found.requests, package)
