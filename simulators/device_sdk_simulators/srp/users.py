"""Who may enrol by SRP. The database holds verifiers, never passwords."""

from __future__ import annotations

from device_sdk_simulators.database import Database
from device_sdk_simulators.srp.verifier import Verifier, prepared

_SCHEMA = "CREATE TABLE IF NOT EXISTS srp_users (name TEXT PRIMARY KEY, salt BLOB NOT NULL, verifier BLOB NOT NULL)"


class SrpUsers:
    """The users with their verifiers.

    Args:
        database: memory.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.execute(_SCHEMA)
        self._seed = database.secret("srp-seed")

    def add(self, name: str, password: str) -> None:
        """Create a user, or give it this password; ValueError for what cannot be one."""
        name, password = prepared(name, password)
        verifier = Verifier.of(name, password)
        self._database.execute("INSERT OR REPLACE INTO srp_users VALUES (?, ?, ?)", name, verifier.salt, verifier.value)

    def names(self) -> list[str]:
        """All of them."""
        return [str(row["name"]) for row in self._database.rows("SELECT name FROM srp_users ORDER BY name")]

    def exists(self, name: str) -> bool:
        """Whether there is such a user."""
        return self._database.row("SELECT name FROM srp_users WHERE name = ?", name) is not None

    def verifier(self, name: str) -> Verifier:
        """A user's verifier, or one that nobody can tell from it and that fits no password."""
        nobody = Verifier.of_nobody(name, self._seed)
        row = self._database.row("SELECT salt, verifier FROM srp_users WHERE name = ?", name)
        return nobody if row is None else Verifier(bytes(row["salt"]), bytes(row["verifier"]))
