"""Whose signature counts as a client's own: reports may be older than the last renewal of its certificate."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from device_sdk_simulators.cmc.message import Message
from device_sdk_simulators.cmc.refusal import CmcRefusedError
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


def of_generated_keys(client: Client, database: Database) -> list[x509.Certificate]:
    """The newest certificate for each key that the server made for this client."""
    if client.certificate is None:
        return []
    rows = database.rows(
        "SELECT der, spki_sha256 FROM certificates WHERE coalesce(lineage, serial) = ? AND revoked_at IS NULL"
        " AND key_made_here ORDER BY rowid",
        client.lineage,
    )
    newest = {row["spki_sha256"]: bytes(row["der"]) for row in rows}
    return [x509.load_der_x509_certificate(der) for der in newest.values()]


def is_signed_by(message: Message, certificates: Sequence[x509.Certificate]) -> bool:
    """Whether a key of one of these signed it; its own certificates are not looked at."""
    return any(_is_signed_by(message, one) for one in certificates)


def _is_signed_by(message: Message, certificate: x509.Certificate) -> bool:
    try:
        message.verify(certificate.public_key())
    except CmcRefusedError:
        return False
    return True
