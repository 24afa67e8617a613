"""The certificate of a registration authority: issued by the CA's operator, never because somebody asked over EST."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.ca.issue import CMC_RA, Wish, issue
from device_sdk_simulators.database import Database

LIFETIME = timedelta(days=365)
_BACKDATE = timedelta(minutes=5)


def issue_registration_authority(
    hierarchy: Hierarchy,
    database: Database,
    name: str,
    public_key: CertificatePublicKeyTypes,
    now: datetime,
    *,
    label: str = "",
    lifetime: timedelta = LIFETIME,
) -> x509.Certificate:
    """A certificate with id-kp-cmcRA (RFC 6402 section 2.10) and clientAuth; it is in the register, so that it can be revoked.

    Args:
        hierarchy: the CA.
        database: the server's.
        name: the common name.
        public_key: of the registration authority.
        now: the present.
        label: of the CA.
        lifetime: how long it is valid.
    """
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier(CMC_RA)])
    wish = Wish(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        public_key,
        x509.Extensions([x509.Extension(x509.ExtendedKeyUsage.oid, False, usages)]),
        now - _BACKDATE,
        now + lifetime,
    )
    certificate = issue(hierarchy.issuing, wish)
    serial = f"{certificate.serial_number:x}"
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    database.execute(
        "INSERT INTO certificates (serial, subject, spki_sha256, issued_to, issued_at, not_after, der, ca, label, lineage)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        serial,
        certificate.subject.rfc4514_string(),
        hashlib.sha256(spki).hexdigest(),
        "operator",
        now.isoformat(),
        certificate.not_valid_after_utc.isoformat(),
        certificate.public_bytes(Encoding.DER),
        label,
        label,
        serial,
    )
    return certificate
