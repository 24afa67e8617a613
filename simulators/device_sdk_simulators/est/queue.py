"""Requests that wait for a person, and how they are recognised when they come again (EST-163)."""

from __future__ import annotations

import hashlib
from datetime import datetime

from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.csr import CertificationRequest


def fingerprint(request: CertificationRequest) -> str:
    """SHA-256 of the whole CSR, hex."""
    return hashlib.sha256(request.csr.public_bytes(Encoding.DER)).hexdigest()


class ApprovalQueue:
    """The waiting room.

    A client that binds its CSR to the connection sends another one each time, so a request is known by who asks, where,
    for what name and for which key, not by its bytes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(
        self, key: tuple[str, str, str], request: CertificationRequest, now: datetime, *, by_bytes: bool = False
    ) -> str:
        """Either "waiting", "approved" or "denied"; a request that is new is written down as waiting.

        Args:
            key: identity, label and operation.
            request: the CSR.
            now: when it came.
            by_bytes: know the request by its bytes instead of by its key, as some servers do.
        """
        known_by = fingerprint(request) if by_bytes else request.spki_sha256
        columns = (*key, request.csr.subject.rfc4514_string(), known_by)
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT state FROM requests WHERE identity = ? AND label = ? AND operation = ? AND subject = ?"
                " AND spki_sha256 = ? AND state IN ('waiting', 'approved', 'denied')",
                columns,
            ).fetchone()
            if row is not None:
                return str(row["state"])
            connection.execute(
                "INSERT INTO requests (identity, label, operation, subject, spki_sha256, state, created_at, csr)"
                " VALUES (?, ?, ?, ?, ?, 'waiting', ?, ?)",
                (*columns, now.isoformat(), request.csr.public_bytes(Encoding.DER)),
            )
        return "waiting"

    def knows_bytes(self, key: tuple[str, str, str], request: CertificationRequest) -> bool:
        """Whether these very bytes were written down before, by `state(..., by_bytes=True)`."""
        row = self._database.row(
            "SELECT id FROM requests WHERE identity = ? AND label = ? AND operation = ? AND spki_sha256 = ?"
            " AND state IN ('waiting', 'approved', 'denied')",
            *key,
            fingerprint(request),
        )
        return row is not None

    def entries(self) -> list[dict[str, object]]:
        """Every request that waits or was decided and not collected."""
        rows = self._database.rows(
            "SELECT id, identity, label, operation, subject, spki_sha256, state, created_at FROM requests"
            " WHERE state IN ('waiting', 'approved', 'denied') ORDER BY id"
        )
        return [dict(row) for row in rows]

    def decide(self, number: int | None, *, approve: bool) -> int:
        """Approve or deny one waiting request, or all of them (None); returns how many."""
        state = "approved" if approve else "denied"
        if number is None:
            return self._database.execute("UPDATE requests SET state = ? WHERE state = 'waiting'", state)
        return self._database.execute("UPDATE requests SET state = ? WHERE id = ? AND state = 'waiting'", state, number)
