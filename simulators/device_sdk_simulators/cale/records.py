"""Where an authorization server keeps its CSR records; write another class of this shape for another database (CALE-81)."""

from __future__ import annotations

import bisect
import os
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime
from sqlite3 import Row
from typing import Protocol

from device_sdk_simulators.cale.names import LONGEST
from device_sdk_simulators.database import Database


@dataclass(frozen=True)
class CsrRecord:
    """One registration (CALE-46).

    Attributes:
        guid: in lower case.
        identity: who registered.
        csr: DER of the PKCS#10 request.
        created_at: when.
        revoked: whether it counts no more; a revoked record stays as a tombstone (CALE-51).
    """

    guid: str = field(repr=False)
    identity: str
    csr: bytes = field(repr=False)
    created_at: datetime
    revoked: bool = False


class RecordStore(Protocol):
    """What an authorization server needs to remember. Every method may be called from many threads."""

    def add(self, record: CsrRecord) -> None:
        """Keep a record; it has to be safe before the answer goes out."""

    def find(self, guid: str) -> CsrRecord | None:
        """The record of a GUID in lower case, revoked or not."""

    def next_to(self, guid: str) -> CsrRecord | None:
        """The record with the next GUID in order, the first one after the last; None if there is none at all.

        Best one whose identity makes a certificate: strangers are like this record.
        """

    def count(self, identity: str) -> int:
        """How many records an identity has, those that are revoked too."""

    def revoke(self, guid: str, identity: str | None, now: datetime) -> bool:
        """Revoke a record, of this identity if one is given; False if there is none such, or it is revoked already."""

    def secret(self, name: str) -> bytes:
        """32 random bytes, the same whenever they are asked for by this name."""


class DatabaseRecords:
    """Records in the simulators' SQLite file, where `device-sdk-sim list` and `revoke` find them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.secret = database.secret

    def add(self, record: CsrRecord) -> None:
        """See RecordStore."""
        self._database.execute(
            "INSERT INTO registrations (guid, identity, created_at, csr) VALUES (?, ?, ?, ?)",
            record.guid,
            record.identity,
            record.created_at.isoformat(),
            record.csr,
        )

    def find(self, guid: str) -> CsrRecord | None:
        """See RecordStore."""
        return self._first("WHERE guid = ?", guid)

    def next_to(self, guid: str) -> CsrRecord | None:
        """See RecordStore."""
        # earlier versions kept records that no certificate could be made of, and that nobody was told of
        usable = f"length(CAST(identity AS BLOB)) BETWEEN 1 AND {LONGEST} ORDER BY guid LIMIT 1"
        return self._first(f"WHERE guid >= ? AND {usable}", guid) or self._first(f"WHERE {usable}")

    def count(self, identity: str) -> int:
        """See RecordStore."""
        row = self._database.row("SELECT COUNT(*) AS records FROM registrations WHERE identity = ?", identity)
        return int(row["records"]) if row else 0

    def revoke(self, guid: str, identity: str | None, now: datetime) -> bool:
        """See RecordStore."""
        whose, values = ("", ()) if identity is None else (" AND identity = ?", (identity,))
        statement = "UPDATE registrations SET revoked_at = ? WHERE guid = ? AND revoked_at IS NULL"
        return self._database.execute(statement + whose, now.isoformat(), guid, *values) == 1

    def _first(self, condition: str, *values: object) -> CsrRecord | None:
        query = "SELECT guid, identity, created_at, revoked_at, csr FROM registrations "
        row = self._database.row(query + condition, *values)
        return _record(row) if row else None


def _record(row: Row) -> CsrRecord:
    created = datetime.fromisoformat(row["created_at"])
    return CsrRecord(row["guid"], row["identity"], row["csr"], created, row["revoked_at"] is not None)


class MemoryRecords:
    """Records that are gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, CsrRecord] = {}
        self._order: list[str] = []
        self._secrets: dict[str, bytes] = {}

    def add(self, record: CsrRecord) -> None:
        """See RecordStore."""
        with self._lock:
            self._records[record.guid] = record
            bisect.insort(self._order, record.guid)

    def find(self, guid: str) -> CsrRecord | None:
        """See RecordStore."""
        return self._records.get(guid)

    def next_to(self, guid: str) -> CsrRecord | None:
        """See RecordStore."""
        with self._lock:
            place = bisect.bisect_left(self._order, guid)
            return self._records[self._order[place % len(self._order)]] if self._order else None

    def count(self, identity: str) -> int:
        """See RecordStore."""
        with self._lock:
            return sum(record.identity == identity for record in self._records.values())

    def revoke(self, guid: str, identity: str | None, now: datetime) -> bool:
        """See RecordStore."""
        with self._lock:
            record = self._records.get(guid)
            if record is None or record.revoked or identity not in (None, record.identity):
                return False
            self._records[guid] = replace(record, revoked=True)
            return True

    def secret(self, name: str) -> bytes:
        """See RecordStore."""
        with self._lock:
            return self._secrets.setdefault(name, os.urandom(32))
