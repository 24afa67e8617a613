"""Packages that wait for devices, and who fetched what; in the server's database."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from device_sdk_simulators.database import Database
from device_sdk_simulators.est.authorize import Client
from device_sdk_simulators.http.parser import ConnectionEnded
from device_sdk_simulators.packages.addresses import addresses_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS packages (
  id INTEGER PRIMARY KEY, operation TEXT NOT NULL, item TEXT NOT NULL UNIQUE, type TEXT NOT NULL, address TEXT NOT NULL,
  label TEXT NOT NULL, media_type TEXT NOT NULL, content BLOB NOT NULL, published_at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS fetches (
  address TEXT NOT NULL, place TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (address, place));
"""


@dataclass(frozen=True)
class Package:
    """One package.

    Attributes:
        operation: "eecerts".
        item: its name in URLs.
        type: of RFC 8295 section 2.1.1, four digits.
        address: see `addresses`.
        media_type: of the answer.
        content: DER.
        published_at: when.
    """

    operation: str
    item: str
    type: str
    address: str
    media_type: str
    content: bytes
    published_at: datetime

    @property
    def place(self) -> str:
        """What comes after the service's path."""
        return f"{self.operation}/{self.item}"


class Shelf:
    """All packages of a server.

    Args:
        database: the server's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.transaction() as connection:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                connection.execute(statement)

    def publish(
        self, operation: str, kind: str, content: bytes, *, media_type: str, address: str, label: str, now: datetime
    ) -> str:
        """Put a package there; its random item name."""
        item = secrets.token_hex(8)
        self._database.execute(
            "INSERT INTO packages (operation, item, type, address, label, media_type, content, published_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            operation,
            item,
            kind,
            address,
            label,
            media_type,
            content,
            now.isoformat(),
        )
        return item

    def withdraw(self, item: str) -> bool:
        """Take a package away; False if it is not there."""
        return self._database.execute("DELETE FROM packages WHERE item = ?", item) == 1

    def for_client(self, client: Client, label: str) -> list[Package]:
        """What this client may have at this label, oldest first."""
        addresses = addresses_of(client)
        rows = self._database.rows(
            f"SELECT * FROM packages WHERE label = ? AND address IN ({_marks(addresses)}) ORDER BY id",  # noqa: S608
            label,
            *addresses,
        )
        return [
            Package(
                row["operation"],
                row["item"],
                row["type"],
                row["address"],
                row["media_type"],
                bytes(row["content"]),
                datetime.fromisoformat(row["published_at"]),
            )
            for row in rows
        ]

    def noting(self, client: Client, place: str, clock: Callable[[], datetime]) -> Callable[[], None]:
        """For Response.sent: notes that the client was sent all of what is at a place (P-08, AMB-08)."""
        own = addresses_of(client)[1:2]

        def note() -> None:
            if own:
                row = (own[0], place, clock().isoformat())
                try:
                    self._database.execute("INSERT OR REPLACE INTO fetches VALUES (?, ?, ?)", *row)
                except sqlite3.Error as error:  # too late to say so: the client misses an octet, and asks again
                    raise ConnectionEnded from error

        return note

    def fetches_of(self, client: Client) -> dict[str, datetime]:
        """When this client was last sent what is at a place."""
        own = addresses_of(client)[1:2]
        rows = self._database.rows("SELECT place, at FROM fetches WHERE address = ?", *own) if own else []
        return {row["place"]: datetime.fromisoformat(row["at"]) for row in rows}

    def overview(self) -> list[dict[str, object]]:
        """Every package, and who was sent it, without contents."""
        rows = self._database.rows(
            "SELECT operation, item, type, packages.address AS published_to, label, CASE operation WHEN 'firmware' THEN"
            " json_extract(CAST(content AS TEXT), '$.size') ELSE length(content) END AS bytes, published_at,"
            " fetches.address AS sent_to, at AS sent_at FROM packages"
            " LEFT JOIN fetches ON place = operation || '/' || item ORDER BY id, at"
        )
        return [dict(row) for row in rows]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
