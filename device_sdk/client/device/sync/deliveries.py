"""Where packages go that a device does not take unless its owner says so: nothing of it has a default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.model.key_uri import KeyUri

if TYPE_CHECKING:
    from device_sdk.client.est.key_package_policy import KeyPackagePolicy
    from device_sdk.client.firmware import FirmwareRules, Installer, Transferred


@dataclass(frozen=True)
class KeyDelivery:
    """Symmetric keys.

    Attributes:
        policy: which packages are taken. Its revocation lists may be left out: those that are kept count by themselves.
        place: URI of a token, or a directory for files; see device_sdk.keystores.secret_import.store_keys.
        replace: whether keys are replaced that are there under the same identifier.
        open_with: URIs of keys that open packages, besides the device's own.
        returns: whether the server is sent receipts and errors.
    """

    policy: KeyPackagePolicy
    place: str | KeyUri | Path
    replace: bool = False
    open_with: tuple[str, ...] = ()
    returns: bool = True


@dataclass(frozen=True)
class FirmwareDelivery:
    """Firmware.

    Attributes:
        rules: who may sign it, and what fits this hardware. Its revocation lists may be left out, too.
        installer: takes it.
        directory: where a package waits; needs as much room as that.
        open_with: URIs of keys that open packages, besides the device's own and those of `rules`.
        returns: whether the server is sent receipts and errors, signed by the key of the device's certificate.
        transferred: told how much of a package has come.
    """

    rules: FirmwareRules
    installer: Installer
    directory: Path
    open_with: tuple[str, ...] = ()
    returns: bool = True
    transferred: Transferred | None = None


@dataclass(frozen=True)
class Deliveries:
    """What a sync may do with packages; None is reported as not configured.

    A function makes each of them when it is needed: files with anchors are read then, and a mistake in them concerns the
    steps of that kind only.

    Attributes:
        keys: for types 0024 and 0025.
        firmware: for types 0026 and 0027.
    """

    keys: Callable[[], KeyDelivery] | None = None
    firmware: Callable[[], FirmwareDelivery] | None = None
