"""Where an authorization server keeps its CSR records; write another class of this shape for another database (CALE-81)."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
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


_COLUMNS = "SELECT guid, identity, created_at, revoked_at, csr FROM registrations "


class RecordStore(Protocol):
    """What an authorization server needs to remember. Every method may be called from many threads."""

    def add(self, record: CsrRecord) -> None:
        """Keep a record; it has to be safe before the answer goes out."""

    def find(self, guid: str) -> CsrRecord | None:
        """The record of a GUID in lower case, revoked or not."""

    def first(self, most: int, identities: tuple[str, ...] = ()) -> list[CsrRecord]:
        """The records that were added first, revoked or not, in that order; of these identities only, if any are given.

        Best those whose identity makes a certificate. Strangers are like these, so the list may grow at its end and not
        change otherwise.
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
        row = self._database.row(_COLUMNS + "WHERE guid = ?", guid)
        return _record(row) if row else None

    def first(self, most: int, identities: tuple[str, ...] = ()) -> list[CsrRecord]:
        """See RecordStore."""
        # earlier versions kept records that no certificate could be made of, and that nobody was told of
        usable = f"WHERE length(CAST(identity AS BLOB)) BETWEEN 1 AND {LONGEST}"
        chosen = f" AND identity IN ({', '.join('?' * len(identities))})" if identities else ""
        query = f"{_COLUMNS}{usable}{chosen} ORDER BY rowid LIMIT ?"
        return [_record(row) for row in self._database.rows(query, *identities, most)]

    def count(self, identity: str) -> int:
        """See RecordStore."""
        row = self._database.row("SELECT COUNT(*) AS records FROM registrations WHERE identity = ?", identity)
        return int(row["records"]) if row else 0

    def revoke(self, guid: str, identity: str | None, now: datetime) -> bool:
        """See RecordStore."""
        whose, values = ("", ()) if identity is None else (" AND identity = ?", (identity,))
        statement = "UPDATE registrations SET revoked_at = ? WHERE guid = ? AND revoked_at IS NULL"
        return self._database.execute(statement + whose, now.isoformat(), guid, *values) == 1


def _record(row: Row) -> CsrRecord:
    created = datetime.fromisoformat(row["created_at"])
    return CsrRecord(row["guid"], row["identity"], row["csr"], created, row["revoked_at"] is not None)


class MemoryRecords:
    """Records that are gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[str, CsrRecord] = {}
        self._secrets: dict[str, bytes] = {}

    def add(self, record: CsrRecord) -> None:
        """See RecordStore."""
        with self._lock:
            self._records[record.guid] = record

    def find(self, guid: str) -> CsrRecord | None:
        """See RecordStore."""
        return self._records.get(guid)

    def first(self, most: int, identities: tuple[str, ...] = ()) -> list[CsrRecord]:
        """See RecordStore."""
        with self._lock:
            chosen = (one for one in self._records.values() if not identities or one.identity in identities)
            return list(islice(chosen, most))

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
