"""What CMC has to remember: shared secrets, transactions that wait, messages that were seen, reasons of revocations."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta

from device_sdk_simulators.database import Database

_TABLES = """
CREATE TABLE IF NOT EXISTS cmc_secrets (identification TEXT PRIMARY KEY, secret BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS cmc_transactions (
  token TEXT PRIMARY KEY, transaction_id TEXT NOT NULL, request INTEGER NOT NULL, nonce BLOB NOT NULL,
  pend_time TEXT NOT NULL, holder TEXT);
CREATE INDEX IF NOT EXISTS cmc_transactions_by_request ON cmc_transactions (request);
CREATE INDEX IF NOT EXISTS cmc_transactions_by_age ON cmc_transactions (pend_time);
CREATE TABLE IF NOT EXISTS cmc_messages (nonce BLOB PRIMARY KEY, seen_at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS cmc_messages_by_age ON cmc_messages (seen_at)
"""

# later than every time
_UNDATED = "undated"


@dataclass(frozen=True)
class Waiting:
    """A request that waits for a person.

    Attributes:
        token: what the client asks with.
        transaction_id: of the first message.
        request: its number in the approval queue.
        nonce: the last senderNonce this server gave in the transaction.
        pend_time: when the client was told to ask again.
        holder: the user the certificate will be issued for, as far as that is known.
    """

    token: bytes
    transaction_id: int | None
    request: int
    nonce: bytes
    pend_time: datetime
    holder: str | None = None


class CmcStore:
    """The tables of CMC in the server's database.

    Attributes:
        remember: for how long messages with a signing time are known; longer than any signing time is accepted.
        max_messages: how many at most, the latest.
    """

    remember = timedelta(days=1)
    max_messages = 100_000

    def __init__(self, database: Database) -> None:
        self._database = database
        for statement in _TABLES.split(";"):
            database.execute(statement)
        with database.transaction() as connection:
            columns = {row["name"] for row in connection.execute("PRAGMA table_info(cmc_transactions)")}
            if "holder" not in columns:
                # a database of an earlier version
                connection.execute("ALTER TABLE cmc_transactions ADD COLUMN holder TEXT")

    def add_secret(self, identification: str, secret: bytes) -> None:
        """Give a client a shared secret; "" names the one of requests without identification."""
        self._database.execute("INSERT OR REPLACE INTO cmc_secrets VALUES (?, ?)", identification, secret)

    def secret(self, identification: str) -> bytes | None:
        """The secret of that name, or None. It is kept as it is: the MAC is computed with it."""
        row = self._database.row("SELECT secret FROM cmc_secrets WHERE identification = ?", identification)
        return None if row is None else bytes(row["secret"])

    def is_new(self, known_by: bytes, now: datetime, *, dated: bool = True) -> bool:
        """Whether a message was not seen before; from now on it was.

        A copy with a signing time is refused for that soon after it was made, so nothing is lost by forgetting it after
        `remember`. One without is known until `max_messages` later ones have come.

        Args:
            known_by: its senderNonce, or its digest.
            now: when it came.
            dated: it has a signing time.
        """
        seen_at = now.isoformat() if dated else _UNDATED
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM cmc_messages WHERE seen_at < ?", ((now - self.remember).isoformat(),))
            added = connection.execute("INSERT OR IGNORE INTO cmc_messages VALUES (?, ?)", (known_by, seen_at))
            # rows are numbered in the order they came
            connection.execute(
                "DELETE FROM cmc_messages WHERE rowid <= (SELECT max(rowid) FROM cmc_messages) - ?",
                (self.max_messages,),
            )
            return added.rowcount == 1

    def wait(
        self, transaction_id: int | None, request: int, pend_time: datetime, *, holder: str | None = None
    ) -> Waiting:
        """Write down that a request waits; the same request gets the same token."""
        row = self._database.row("SELECT token FROM cmc_transactions WHERE request = ?", request)
        if row is None:
            token, number = os.urandom(24).hex(), "" if transaction_id is None else f"{transaction_id:x}"
            self._database.execute(
                "INSERT INTO cmc_transactions (token, transaction_id, request, nonce, pend_time, holder)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                token,
                number,
                request,
                b"",
                pend_time.isoformat(),
                holder,
            )
            return Waiting(bytes.fromhex(token), transaction_id, request, b"", pend_time, holder)
        found = self.waiting(bytes.fromhex(row["token"]))
        assert found is not None
        return found

    def end(self, before: datetime) -> None:
        """Forget transactions that began before and whose request does not wait, and was not issued, since then (EST-16)."""
        self._database.execute(
            "DELETE FROM cmc_transactions WHERE pend_time < ? AND NOT EXISTS"
            " (SELECT 1 FROM requests LEFT JOIN certificates USING (serial) WHERE requests.id = cmc_transactions.request"
            " AND (state != 'issued' OR issued_at >= ?))",
            *(before.isoformat(), before.isoformat()),
        )

    def waiting(self, token: bytes) -> Waiting | None:
        """The transaction with that token, or None."""
        row = self._database.row("SELECT * FROM cmc_transactions WHERE token = ?", token.hex())
        if row is None:
            return None
        number = int(row["transaction_id"], 16) if row["transaction_id"] else None
        pend_time = datetime.fromisoformat(row["pend_time"])
        return Waiting(token, number, row["request"], bytes(row["nonce"]), pend_time, row["holder"])

    def gave_nonce(self, token: bytes, nonce: bytes) -> None:
        """Remember the senderNonce of an answer, which the next message has to give back."""
        self._database.execute("UPDATE cmc_transactions SET nonce = ? WHERE token = ?", nonce, token.hex())

    def note_revocation(self, serial: str, reason: int, asked_by: str) -> None:
        """Keep the CRLReason beside a certificate that was revoked."""
        self._database.execute("INSERT OR REPLACE INTO cmc_revocations VALUES (?, ?, ?)", serial, reason, asked_by)

    def revocation_reason(self, serial: str) -> int | None:
        """The CRLReason of a revocation by CMC, or None."""
        row = self._database.row("SELECT reason FROM cmc_revocations WHERE serial = ?", serial)
        return None if row is None else int(row["reason"])
