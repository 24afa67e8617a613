"""Issues a certificate and writes it down in one transaction with the end of the request that waited for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.ca.hierarchy import Hierarchy
from device_sdk_simulators.ca.issue import Wish, issue
from device_sdk_simulators.database import Database
from device_sdk_simulators.est.change_name import ChangedName
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.est.lineage import inherited
from device_sdk_simulators.est.queue import collect, fingerprint
from device_sdk_simulators.policy import Policy


class Register:
    """The book of certificates a CA issued.

    Args:
        database: where it is kept, one table for all CAs.
        hierarchy: the CA as it is now.
        policy: what is issued.
        clock: when.
        ca: "" for the main CA, or the label of one of a label's own.
    """

    def __init__(
        self,
        database: Database,
        hierarchy: Callable[[], Hierarchy],
        policy: Policy,
        clock: Callable[[], datetime],
        *,
        ca: str = "",
    ) -> None:
        self._database = database
        self._hierarchy = hierarchy
        self._policy = policy
        self._clock = clock
        self._ca = ca

    def issue(  # noqa: PLR0913  # what is written down of a certificate
        self,
        request: CertificationRequest,
        identity: str,
        *,
        label: str | None = None,
        holder: str | None = None,
        name: ChangedName | None = None,
        asked: CertificationRequest | None = None,
        approval: tuple[str, str, str] | None = None,
        also: Callable[[x509.Certificate], None] | None = None,
        key_made_here: bool = False,
    ) -> x509.Certificate:
        """A certificate as asked for; it is in the database before this returns.

        Args:
            request: the CSR, checked.
            identity: who asked.
            label: where it was asked for, if that is not the label of the CA.
            holder: the user it is issued for, as far as that is known.
            name: what to call it instead of what the CSR says.
            asked: what waited in the queue, if that was not `request`.
            approval: identity, label and operation of what waited; one approval, one certificate.
            also: writes down what belongs to the certificate, in the same transaction.
            key_made_here: the server made the key (/serverkeygen).

        Raises:
            NotApprovedError: another thread collected the approval at the same moment; nothing was issued.
        """
        now = self._clock()
        wish = Wish(
            request.csr.subject,
            request.public_key,
            request.extensions,
            now - self._policy.backdate,
            now + self._policy.lifetime,
        )
        certificate = issue(self._hierarchy().issuing, name.apply(wish) if name else wish)
        with self._database.transaction() as connection:
            key_made_here = key_made_here or _is_made_here(connection, request.spki_sha256)
            connection.execute(
                "INSERT INTO certificates (serial, subject, spki_sha256, mac_address, issued_to, issued_at, not_after, der,"
                " ca, label, holder, lineage, key_made_here) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    f"{certificate.serial_number:x}",
                    certificate.subject.rfc4514_string(),
                    request.spki_sha256,
                    request.mac_address,
                    identity,
                    now.isoformat(),
                    certificate.not_valid_after_utc.isoformat(),
                    certificate.public_bytes(Encoding.DER),
                    self._ca,
                    self._ca if label is None else label,
                    holder,
                    inherited(connection, identity, request.csr.subject) or f"{certificate.serial_number:x}",
                    key_made_here,
                ),
            )
            if also is not None:
                also(certificate)
            if approval is not None:
                collect(connection, approval, asked or request, f"{certificate.serial_number:x}")
                return certificate
            connection.execute(
                "UPDATE requests SET state = 'issued' WHERE identity = ? AND spki_sha256 IN (?, ?) AND subject = ?"
                " AND state = 'approved'",
                (identity, (asked or request).spki_sha256, fingerprint(request), request.csr.subject.rfc4514_string()),
            )
        return certificate

    def revoke(self, serial: str) -> bool:
        """Revoke a certificate by its serial number in hex; False if there is none such, or it is revoked."""
        changed = self._database.execute(
            "UPDATE certificates SET revoked_at = ? WHERE serial = ? AND revoked_at IS NULL",
            self._clock().isoformat(),
            serial.lower().replace(":", "").lstrip("0"),
        )
        return changed == 1

    def entries(self) -> list[dict[str, object]]:
        """Every certificate that any CA of this server issued, oldest first, without its bytes."""
        rows = self._database.rows(
            "SELECT serial, subject, spki_sha256, mac_address, issued_to, issued_at, not_after, revoked_at,"
            " ca, label FROM certificates ORDER BY rowid"
        )
        return [dict(row) for row in rows]


def _is_made_here(connection: sqlite3.Connection, spki_sha256: str) -> bool:
    """Whether a certificate for that key was issued with it: the next one is for a key of this server's making, too."""
    statement = "SELECT 1 FROM certificates WHERE spki_sha256 = ? AND spki_sha256 <> '' AND key_made_here"
    return connection.execute(statement, (spki_sha256,)).fetchone() is not None
