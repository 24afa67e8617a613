"""Which generations of which CA are in service: rows of the database, so that one transaction moves a rollover on."""

from __future__ import annotations

import sqlite3
from enum import Enum, unique

from device_sdk_simulators.database import Database


@unique
class Stage(Enum):
    """Where a generation is in its life."""

    PUBLISHED = "published"
    """In /cacerts; issues nothing yet."""
    ISSUING = "issuing"
    """Signs everything that is issued."""
    REPLACED = "replaced"
    """In /cacerts, and what it issued is accepted; issues nothing any more."""
    RETIRED = "retired"
    """Gone: its keys are destroyed, what it issued counts for nothing."""


def stages_of(database: Database, ca: str) -> dict[int, Stage]:
    """The generations of a CA by number; a CA that was never rolled over has one, and no row."""
    rows = database.rows("SELECT number, stage FROM generations WHERE ca = ? ORDER BY number", ca)
    return _read(rows)


def change_stages(database: Database, ca: str, expected: dict[int, Stage], changed: dict[int, Stage], at: str) -> bool:
    """One transaction from one state of affairs to the next; False, and no change, if it is not the one expected."""
    with database.transaction() as connection:
        rows = connection.execute("SELECT number, stage FROM generations WHERE ca = ? ORDER BY number", (ca,))
        if _read(rows.fetchall()) != expected:
            return False
        connection.executemany(
            "INSERT INTO generations (ca, number, stage, changed_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (ca, number) DO UPDATE SET stage = excluded.stage, changed_at = excluded.changed_at",
            [(ca, number, stage.value, at) for number, stage in changed.items()],
        )
    return True


def _read(rows: list[sqlite3.Row]) -> dict[int, Stage]:
    return {int(row["number"]): Stage(row["stage"]) for row in rows} or {1: Stage.ISSUING}
