"""Whose signature counts as a client's own: reports may be older than the last renewal of its certificate."""

from __future__ import annotations

from cryptography import x509

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client


def certificates_of(client: Client, database: Database) -> list[x509.Certificate]:
    """The certificate it shows, and those that were renewed by it and are not revoked."""
    if client.certificate is None:
        return []
    rows = database.rows(
        "SELECT der FROM certificates WHERE coalesce(lineage, serial) = ? AND revoked_at IS NULL ORDER BY rowid DESC",
        client.lineage,
    )
    return [client.certificate, *(x509.load_der_x509_certificate(bytes(row["der"])) for row in rows)]
