"""Requests that wait for a person, and how they are recognised when they come again (EST-163)."""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.approved import content_digest, summary
from device_sdk_simulators.est.csr import CertificationRequest
from device_sdk_simulators.est.waiting_room import asked, forget, note_turned_away, why_full
from device_sdk_simulators.policy import Policy


def fingerprint(request: CertificationRequest) -> str:
    """SHA-256 of the whole CSR, hex."""
    return hashlib.sha256(request.csr.public_bytes(Encoding.DER)).hexdigest()


class NotApprovedError(Exception):
    """There is no approval to collect any more."""


def collect(
    connection: sqlite3.Connection, key: tuple[str, str, str], request: CertificationRequest, serial: str
) -> None:
    """Use up the approval of a request for the certificate of that serial number, within the transaction that issues it.

    Args:
        connection: in a transaction.
        key: identity, label and operation.
        request: the CSR.
        serial: in hex.

    Raises:
        NotApprovedError: there is none, for example because another thread was faster.
    """
    statement = (
        "UPDATE requests SET state = 'issued', serial = ? WHERE identity = ? AND label = ? AND operation = ?"
        " AND subject = ? AND spki_sha256 IN (?, ?) AND content = ? AND state = 'approved'"
    )
    known_by = request.spki_sha256, fingerprint(request), content_digest(request)
    if not connection.execute(statement, (serial, *key, request.csr.subject.rfc4514_string(), *known_by)).rowcount:
        raise NotApprovedError


@dataclass(frozen=True)
class Again:
    """When a request that comes again gets the certificate it was issued before.

    A process that is killed, or a connection that breaks, between the issue and the answer must not cost an approval.

    Attributes:
        since: only if that was issued after this.
        shown: the client's certificate: whoever shows the one that was issued has received it.
    """

    since: datetime
    shown: x509.Certificate | None


def _issued(
    connection: sqlite3.Connection, key: tuple[str, str, str], request: CertificationRequest, again: Again
) -> x509.Certificate | None:
    row = connection.execute(
        "SELECT der FROM requests JOIN certificates USING (serial) WHERE identity = ? AND requests.label = ?"
        " AND operation = ? AND requests.subject = ? AND requests.spki_sha256 IN (?, ?) AND content = ? AND state = 'issued'"
        " AND revoked_at IS NULL AND issued_at > ? ORDER BY id DESC",
        (
            *key,
            request.csr.subject.rfc4514_string(),
            request.spki_sha256,
            fingerprint(request),
            content_digest(request),
            again.since.isoformat(),
        ),
    ).fetchone()
    found = None if row is None else x509.load_der_x509_certificate(row["der"])
    return None if found == again.shown else found


class ApprovalQueue:
    """The waiting room.

    A client that binds its CSR to the connection sends another one each time, so a request is known by who asks, where,
    for what name and for which key, not by its bytes. An
    approval is for all that the request says of the certificate (`approved`): what asks for more is another request.

    Args:
        database: where it is.
        policy: how many may wait, and for how long.
    """

    def __init__(self, database: Database, policy: Policy | None = None) -> None:
        self._database = database
        self._policy = policy or Policy()

    def state(
        self,
        key: tuple[str, str, str],
        request: CertificationRequest,
        now: datetime,
        *,
        by_bytes: bool = False,
        again: Again | None = None,
    ) -> str:
        """Either "waiting", "approved" or "denied"; a request that is new is written down as waiting.

        With `again` also "issued": see `collected`.

        Args:
            key: identity, label and operation.
            request: the CSR.
            now: when it came.
            by_bytes: know the request by its bytes instead of by its key, as some servers do.
            again: whether a certificate that was issued for it before may be the answer.

        Raises:
            HttpError: 429 or 503 for a new request where too many wait.
        """
        known_by = fingerprint(request) if by_bytes else request.spki_sha256
        columns = (*key, request.csr.subject.rfc4514_string(), known_by, content_digest(request))
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT id, state FROM requests WHERE identity = ? AND label = ? AND operation = ? AND subject = ?"
                " AND spki_sha256 = ? AND content = ? AND state IN ('waiting', 'approved', 'denied')",
                columns,
            ).fetchone()
            if row is not None:
                asked(connection, row["id"], now)
                return str(row["state"])
            if again is not None and _issued(connection, key, request, again) is not None:
                return "issued"
            full = why_full(connection, key[0], self._policy, now)
            if full is not None:
                note_turned_away(connection, key[0], full.text, now)
            else:
                connection.execute(
                    "INSERT INTO requests (identity, label, operation, subject, spki_sha256, content, state, created_at, csr)"
                    " VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, ?)",
                    (*columns, now.isoformat(), request.csr.public_bytes(Encoding.DER)),
                )
                forget(connection, self._policy, now)
        if full is not None:
            raise full
        return "waiting"

    def asked(self, number: int, now: datetime) -> None:
        """Somebody asks about a request by its number: it still waits."""
        with self._database.transaction() as connection:
            asked(connection, number, now)

    def knows_bytes(self, key: tuple[str, str, str], request: CertificationRequest) -> bool:
        """Whether these very bytes were written down before, by `state(..., by_bytes=True)`."""
        row = self._database.row(
            "SELECT id FROM requests WHERE identity = ? AND label = ? AND operation = ? AND spki_sha256 = ?"
            " AND state IN ('waiting', 'approved', 'denied')",
            *key,
            fingerprint(request),
        )
        return row is not None

    def collected(
        self, key: tuple[str, str, str], request: CertificationRequest, again: Again
    ) -> x509.Certificate | None:
        """The certificate that was issued for a request of the state "issued"; None if there is none any more."""
        with self._database.transaction() as connection:
            return _issued(connection, key, request, again)

    def entries(self) -> list[dict[str, object]]:
        """Every request that waits or was decided and not collected."""
        rows = self._database.rows(
            "SELECT id, identity, label, operation, subject, spki_sha256, state, created_at, csr FROM requests"
            " WHERE state IN ('waiting', 'approved', 'denied') ORDER BY id"
        )
        entries: list[dict[str, object]] = []
        for row in rows:
            entry = dict(row)
            entries.append(entry | summary(entry.pop("csr")))
        return entries

    def decide(self, number: int | None, *, approve: bool) -> int:
        """Approve or deny one request, or all that wait (None); returns how many.

        What was denied can be approved by its number, if it was denied by mistake: the device would get the same answer
        for ever.
        """
        state = "approved" if approve else "denied"
        if number is None:
            return self._database.execute("UPDATE requests SET state = ? WHERE state = 'waiting'", state)
        return self._database.execute(
            "UPDATE requests SET state = ? WHERE id = ? AND (state = 'waiting' OR (state = 'denied' AND ?))",
            state,
            number,
            approve,
        )
