"""Where packages go that a device does not take unless its owner says so: nothing of it has a default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from device_sdk.model.key_uri import KeyUri
from device_sdk.protocols.est.urls import Operation

if TYPE_CHECKING:
    from device_sdk.client.est.key_package_policy import KeyPackagePolicy
    from device_sdk.client.firmware import FirmwareRules, Installer, Transferred
    from device_sdk.model.keys import KeyType
    from device_sdk.model.pkcs12 import Pkcs12Policy


CLEAR, PKCS12 = "0020", "0022"
"""Types of keys of the server's making that need more than a place."""


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
        counter: URI of a monotonic counter that the record of installed firmware is bound to; see RecordFile.
        returns: whether the server is sent receipts and errors, signed by the key of the device's certificate.
        transferred: told how much of a package has come.
        again: fetch packages that were refused before even if nothing has changed since.
    """

    rules: FirmwareRules
    installer: Installer
    directory: Path
    open_with: tuple[str, ...] = ()
    counter: str | None = None
    returns: bool = True
    transferred: Transferred | None = None
    again: bool = False


@dataclass(frozen=True)
class GeneratedDelivery:
    """A key that the server generates. Whoever generated it may keep it: a device that can make its own needs none.

    Attributes:
        place: key URI of a token, a TPM or a file for the first one, free as yet; the next ones count up from it. In hardware the
            key cannot leave it any more.
        certificate: file for the certificate and chain of the first one, PEM; the next ones count up from it, too.
        policy: who may sign packages with it (RFC 8295 section 8.1); None takes the forms of RFC 7030 alone.
        pkcs12: the password of PKCS#12 files, for entries of type 0022.
        allow_clear: take it protected by TLS alone, for entries of type 0020.
        key_type: what it has to be; None takes what comes.
        returns: whether the server is sent receipts and errors.
        again: ask although a key could not be stored less than a day ago.
    """

    place: str | KeyUri
    certificate: Path
    policy: KeyPackagePolicy | None = None
    pkcs12: Pkcs12Policy | None = None
    allow_clear: bool = False
    key_type: KeyType | None = None
    returns: bool = True
    again: bool = False


@dataclass(frozen=True)
class KeyEstablishmentDelivery:
    """A second certificate, for key establishment.

    Attributes:
        key: URI of the key that is made for the first one, free as yet; the next ones count up from it.
        key_type: what to make; None lets /csrattrs decide, and takes EC P-256 where it does not.
    """

    key: str
    key_type: KeyType | None = None


@dataclass(frozen=True)
class Deliveries:
    """What a sync may do with packages; None is reported as not configured.

    A function makes each of them when it is needed: files with anchors are read then, and a mistake in them concerns the
    steps of that kind only.

    Attributes:
        keys: for types 0024 and 0025.
        firmware: for types 0026 and 0027.
        generated: for types 0020 to 0023.
        key_establishment: for types 0013 and 0014.
    """

    keys: Callable[[], KeyDelivery] | None = None
    firmware: Callable[[], FirmwareDelivery] | None = None
    generated: Callable[[], GeneratedDelivery] | None = None
    key_establishment: Callable[[], KeyEstablishmentDelivery] | None = None

    def of(self, operation: Operation) -> Callable[[], KeyDelivery | FirmwareDelivery | GeneratedDelivery] | None:
        """What there is for the packages of an operation."""
        if operation is Operation.SERVERKEYGEN:
            return self.generated
        return self.keys if operation is Operation.SYMMETRIC_KEYS else self.firmware


def unconfigured(kind: str, wishes: GeneratedDelivery) -> str | None:
    """Why a key is not taken in the form of an entry; None if it may be.

    Args:
        kind: number of the entry's type.
        wishes: what the device's owner wants.
    """
    if kind == CLEAR and not wishes.allow_clear:
        return "the server offers a private key in the clear, which nobody allowed"
    if kind == PKCS12 and wishes.pkcs12 is None:
        return "the server offers a PKCS#12 file, and there is no password for it (generated.pkcs12_password_file)"
    return None
