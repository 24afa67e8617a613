"""Revocation lists of a CA, signed by every key in service (RFC 4210 section 4.4.3)."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from device_sdk_simulators.ca.hierarchy import Authority, Hierarchy
from device_sdk_simulators.ca.keys import digest_for
from device_sdk_simulators.database import Database

LIFETIME = timedelta(days=7)


def revocation_lists(
    hierarchy: Hierarchy, database: Database, ca: str, now: datetime
) -> list[x509.CertificateRevocationList]:
    """One list per key: each issuing key signs the same revoked certificates, since the issuer has one name and several keys.

    A verifier that checks an old certificate may know only the new key, or the other way round. The roots revoked nothing.

    Args:
        hierarchy: the CA as it is now.
        database: who was revoked.
        ca: what the database calls the CA.
        now: the lists' thisUpdate.
    """
    rows = database.rows("SELECT serial, revoked_at FROM certificates WHERE ca = ? AND revoked_at IS NOT NULL", ca)
    revoked = [(int(row["serial"], 16), datetime.fromisoformat(row["revoked_at"])) for row in rows]
    return [_signed(issuer, revoked, now) for issuer in hierarchy.issuers] + [
        _signed(root, [], now) for root in hierarchy.roots
    ]


def _signed(authority: Authority, revoked: list[tuple[int, datetime]], now: datetime) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + LIFETIME)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        # RFC 5280 section 5.2.3: it only has to grow
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
    )
    for serial, at in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority.key, digest_for(authority.key))
