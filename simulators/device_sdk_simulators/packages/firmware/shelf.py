"""Firmware packages on the shelf: the package is in a file of its own, the shelf has only what is said about it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from device_sdk_simulators.database import Database
from device_sdk_simulators.packages.returned import Return, add_digests, make_room, still_waiting
from device_sdk_simulators.packages.shelf import Package, Shelf

OPERATION, TYPE, REPORT_TYPE = "firmware", "0026", "0027"
_DIRECTORY, _REPORTS = "firmware", "firmware_reports"
NO_ITEM = ""
"""Of a report without the name of a package."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS firmware_reports (
  id INTEGER PRIMARY KEY, address TEXT NOT NULL, item TEXT NOT NULL, hardware TEXT NOT NULL, code INTEGER NOT NULL,
  content BLOB NOT NULL, at TEXT NOT NULL)
"""


@dataclass(frozen=True)
class Entry:
    """What the shelf has of a package.

    Attributes:
        file: its name in the directory for firmware.
        size: bytes.
        name: DER of its PreferredOrLegacyPackageIdentifier, hex; empty if nobody signed it.
    """

    file: str
    size: int
    name: str = ""


class FirmwareShelf:
    """All firmware of a server.

    Args:
        database: the server's; files are beside it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._directory = database.path.parent / _DIRECTORY
        with database.transaction() as connection:
            connection.execute(_SCHEMA)
            add_digests(connection, _REPORTS)

    def publish(
        self, write: Callable[[BinaryIO], None], name: str, *, media_type: str, address: str, label: str, now: datetime
    ) -> str:
        """Put a package there; its item name.

        Args:
            write: writes it into a file.
            name: as in Entry.
            media_type: of the answer.
            address: for whom.
            label: for which label.
            now: the present.
        """
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / f"{secrets.token_hex(8)}.cms"
        try:
            with path.open("xb") as file:
                write(file)
            entry = Entry(path.name, path.stat().st_size, name)
            return Shelf(self._database).publish(
                OPERATION,
                TYPE,
                json.dumps(asdict(entry)).encode(),
                media_type=media_type,
                address=address,
                label=label,
                now=now,
            )
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def sweep(self) -> None:
        """Remove the files of packages that were withdrawn."""
        rows = self._database.rows("SELECT content FROM packages WHERE operation = ?", OPERATION)
        there = {json.loads(row["content"])["file"] for row in rows}
        for path in self._directory.glob("*.cms"):
            if path.name not in there:
                path.unlink(missing_ok=True)

    def file_of(self, package: Package) -> Path:
        """Where it is."""
        return self._directory / entry_of(package).file

    def note_report(self, about: Return, hardware: str, code: int, content: bytes, now: datetime) -> None:
        """A receipt (code 0) or an error came; one that came before is the latest from now on."""
        with self._database.transaction() as connection:
            make_room(connection, _REPORTS, about)
            connection.execute(
                "INSERT INTO firmware_reports (address, item, hardware, code, content, at, digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (about.address, about.item, hardware, code, content, now.isoformat(), about.digest),
            )

    def hardware_of(self, address: str) -> str | None:
        """The module that reported from there before."""
        row = self._database.row("SELECT hardware FROM firmware_reports WHERE address = ? ORDER BY id LIMIT 1", address)
        return None if row is None else str(row["hardware"])

    def is_reported_elsewhere(self, address: str, hardware: str) -> bool:
        """Whether another device has reported about a module."""
        found = self._database.row(
            "SELECT id FROM firmware_reports WHERE hardware = ? AND address != ? LIMIT 1", hardware, address
        )
        return found is not None

    def waiting(self, address: str, fetched: Mapping[str, datetime]) -> set[str]:
        """Items that nothing was reported about, nor may have been.

        What was reported about once is not asked for again, however often it is fetched: a device that refuses a package for
        good says so once.

        Args:
            address: of the device.
            fetched: when it fetched each item.
        """
        rows = self._database.rows("SELECT item, at FROM firmware_reports WHERE address = ?", address)
        told = {str(row["item"]) for row in rows}
        nameless = [datetime.fromisoformat(row["at"]) for row in rows if row["item"] == NO_ITEM]
        return still_waiting({item: at for item, at in fetched.items() if item not in told}, nameless)

    def overview(self) -> dict[tuple[object, object], dict[str, object]]:
        """The latest report of each device about each item."""
        rows = self._database.rows("SELECT address, item, code, hardware, at FROM firmware_reports ORDER BY id")
        return {
            (row["item"], row["address"]): {
                "report": "loaded" if row["code"] == 0 else f"refused ({row['code']})",
                "report_of": row["hardware"],
                "reported_at": row["at"],
            }
            for row in rows
        }


def entry_of(package: Package) -> Entry:
    """What the shelf has of a package."""
    return Entry(**json.loads(package.content))


def size_of(package: Package) -> int:
    """Bytes of what a client gets."""
    return entry_of(package).size if package.operation == OPERATION else len(package.content)
