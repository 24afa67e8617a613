"""What tells holders of certificates of one subject apart: a subject alone says nothing about who has the key.

Other makers may give the same serial numbers, and users of one CA choose their subjects themselves.
"""

from __future__ import annotations

import hashlib
import sqlite3

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk_simulators.ca.names import same_name
from device_sdk_simulators.database import Database

_MARK = " #"


def lineage_of(certificate: x509.Certificate, database: Database, *, third_party: bool) -> str:
    """What a certificate and those it is renewed by have in common, and no others.

    For a certificate in the register the serial number of the first of them, in hex. For a maker's certificate, which is
    not renewed here, a digest of issuer and SubjectPublicKeyInfo.
    """
    row = None
    if not third_party:
        statement = "SELECT coalesce(lineage, serial) AS lineage FROM certificates WHERE serial = ?"
        row = database.row(statement, f"{certificate.serial_number:x}")
    if row is not None:
        return str(row["lineage"])
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    # no serial number of the register looks like this
    return "key:" + hashlib.sha256(certificate.issuer.public_bytes() + spki).hexdigest()[:40]


def identity_of(certificate: x509.Certificate, lineage: str) -> str:
    """The name of a client that shows a certificate; what is after the last mark is this server's word."""
    return f"tls:{certificate.subject.rfc4514_string()}{_MARK}{lineage}"


def inherited(connection: sqlite3.Connection, identity: str, subject: x509.Name) -> str | None:
    """The lineage that a certificate continues: that of who asks, if it asks for its own subject; else None.

    Args:
        connection: in the transaction that issues it.
        identity: who asks, a certificate or not.
        subject: of the request.
    """
    if not identity.startswith("tls:"):
        return None
    lineage = identity.rpartition(_MARK)[2]
    row = connection.execute(
        "SELECT der FROM certificates WHERE coalesce(lineage, serial) = ? ORDER BY rowid DESC", (lineage,)
    ).fetchone()
    own = row is not None and same_name(x509.load_der_x509_certificate(row["der"]).subject, subject)
    return lineage if own else None
