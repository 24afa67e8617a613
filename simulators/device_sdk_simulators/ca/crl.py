"""Revocation lists of a CA, signed by every key in service (RFC 4210 section 4.4.3)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from device_sdk_simulators.ca.hierarchy import Authority, Hierarchy
from device_sdk_simulators.ca.keys import digest_for
from device_sdk_simulators.database import Database

LIFETIME = timedelta(days=7)

# RFC 5280 section 5.3.1: "unspecified" is said by leaving the extension out, removeFromCRL is for delta lists
_REASONS = {
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}


@dataclass(frozen=True)
class _Revoked:
    serial: int
    at: datetime
    reason: x509.ReasonFlags | None

    @classmethod
    def of(cls, row: sqlite3.Row) -> _Revoked:
        return cls(int(row["serial"], 16), datetime.fromisoformat(row["revoked_at"]), _REASONS.get(row["reason"]))

    def entry(self) -> x509.RevokedCertificate:
        builder = x509.RevokedCertificateBuilder().serial_number(self.serial).revocation_date(self.at)
        if self.reason is not None:
            builder = builder.add_extension(x509.CRLReason(self.reason), critical=False)
        return builder.build()


def revocation_lists(
    hierarchy: Hierarchy, database: Database, ca: str, now: datetime
) -> list[x509.CertificateRevocationList]:
    """One list per key: each issuing key signs the same revoked certificates, since the issuer has one name and several keys.

    A verifier that checks an old certificate may know only the new key, or the other way round. The roots revoked nothing.
    Entries have the reason that was given for them by CMC, if there was one (reasonCode, RFC 5280 section 5.3.1).

    Args:
        hierarchy: the CA as it is now.
        database: who was revoked.
        ca: what the database calls the CA.
        now: the lists' thisUpdate.
    """
    rows = database.rows(
        "SELECT serial, revoked_at, reason FROM certificates LEFT JOIN cmc_revocations USING (serial)"
        " WHERE ca = ? AND revoked_at IS NOT NULL",
        ca,
    )
    revoked = [_Revoked.of(row) for row in rows]
    return [_signed(issuer, revoked, now) for issuer in hierarchy.issuers] + [
        _signed(root, [], now) for root in hierarchy.roots
    ]


def _signed(authority: Authority, revoked: list[_Revoked], now: datetime) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + LIFETIME)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        # RFC 5280 section 5.2.3: it only has to grow
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(one.entry())
    return builder.sign(authority.key, digest_for(authority.key))
