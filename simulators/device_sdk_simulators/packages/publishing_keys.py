"""`publish keys`: a package of symmetric keys out of a file, signed, and encrypted to one device's certificate."""

from __future__ import annotations

import secrets
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc7191

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.results import KEY_ESTABLISHMENT, usage_of
from device_sdk_simulators.packages.key_package import keys_from, symmetric_key_package
from device_sdk_simulators.packages.layers import ContentCipher, Nesting, Protection, protect
from device_sdk_simulators.packages.media_types import application_cms
from device_sdk_simulators.packages.sealed_returns import package_authority, returns_authority
from device_sdk_simulators.softhsm import SimulatorError

_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class SealedKeys:
    """A package, ready to be published.

    Attributes:
        message: DER of the ContentInfo.
        media_type: with the parameters of RFC 7193.
        package_id: in its receipt request; empty if there is none.
    """

    message: bytes
    media_type: str
    package_id: bytes


def seal_keys(
    file: Path,
    device: x509.Certificate,
    state: Path,
    now: datetime,
    *,
    nesting: Nesting,
    cipher: ContentCipher,
    receipt: bool,
    encrypted_receipt: bool = False,
) -> SealedKeys:
    """Read the file and make the package.

    Args:
        file: JSON, see `keys_from`; nobody but its owner may read it.
        device: the recipient.
        state: the server's state directory.
        now: the present.
        nesting: what protects it.
        cipher: of the encryption.
        receipt: ask for a receipt; only where there is encryption and an inner signature.
        encrypted_receipt: ask for one that is encrypted.

    Raises:
        SimulatorError: a file that others can read, or that holds no keys.
    """
    package = symmetric_key_package(keys_from(_private(file), str(file)))
    package_id = secrets.token_bytes(16) if receipt or encrypted_receipt else b""
    request = receipt_request(package_id, encrypted=encrypted_receipt) if package_id else None
    if encrypted_receipt:
        returns_authority(state, now)
    by = _protection(device, state, now, cipher, request)
    return SealedKeys(protect(package, nesting, by), _media_type(nesting, cipher), package_id)


def recipient_of(address: str, database: Database, now: datetime) -> x509.Certificate:
    """The certificate to encrypt to of the device that an address names.

    The newest for key establishment, if it has one: that is what it is for. Else the newest; one for a key of the server's
    making only if there is no other, as a device opens packages with the keys it enrolled itself. Those that have ended count
    where there are no others.

    Raises:
        SimulatorError: the address is none of one device.
    """
    kind, _, lineage = address.partition(":")
    rows = database.rows(
        "SELECT der, key_made_here FROM certificates WHERE coalesce(lineage, serial) = ? AND revoked_at IS NULL ORDER BY rowid",
        lineage,
    )
    if kind != "cert" or not rows:
        raise SimulatorError("keys are encrypted to one device: give the serial number of its certificate")
    found = [(x509.load_der_x509_certificate(bytes(row["der"])), bool(row["key_made_here"])) for row in rows]

    def fitness(number: int) -> tuple[bool, bool, bool, int]:
        certificate, made_here = found[number]
        valid = certificate.not_valid_after_utc > now
        return valid, not made_here, usage_of(certificate) == KEY_ESTABLISHMENT, number

    return found[max(range(len(found)), key=fitness)][0]


def _private(file: Path) -> bytes:
    with file.open("rb") as opened:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            raise SimulatorError(f"{file} has keys in it and others can read it (mode {mode:o}): chmod 600 {file}")
        return opened.read(_MAX_BYTES)


def receipt_request(package_id: bytes, *, encrypted: bool = False) -> bytes:
    """DER of a KeyPkgIdentifierAndReceiptReq that asks every receiver (RFC 7191 section 3)."""
    value = rfc7191.KeyPkgIdentifierAndReceiptReq()
    value["pkgID"] = package_id
    if encrypted:
        value["receiptReq"]["encryptReceipt"] = True
    to = value["receiptReq"]["receiptsTo"][0]
    to["sirenType"] = rfc7191.id_dn
    to["sirenValue"] = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Reference Package CA")]).public_bytes()
    return bytes(encode(value))


def _protection(
    device: x509.Certificate, state: Path, now: datetime, cipher: ContentCipher, request: bytes | None
) -> Protection:
    signer = package_authority(state, now).signer("Reference Package Signer", now)
    return Protection(signer, [signer.certificate], device, cipher, request)


_ENCAPSULATING: dict[Nesting, tuple[str, ...]] = {
    "a": (),
    "a-signed": ("signedData",),
    "b": ("{}", "signedData"),
    "c": ("signedData", "{}", "signedData"),
    "d": ("encryptedKeyPkg", "signedData"),
    "d-bare": ("encryptedKeyPkg",),
    "e": ("signedData", "encryptedKeyPkg", "signedData"),
    "e-bare": ("signedData", "encryptedKeyPkg"),
}


def _media_type(nesting: Nesting, cipher: ContentCipher) -> str:
    enveloped = "authEnvelopedData" if cipher == "gcm" else "envelopedData"
    return application_cms([name.format(enveloped) for name in _ENCAPSULATING[nesting]], "sKeyPackage")
