"""Keys the server and a client were both given beforehand, for wrapping what is sent (RFC 4108 section 2.2.5)."""

from __future__ import annotations

from device_sdk_simulators.database import Database

_LENGTHS = (16, 24, 32)


class SharedSecrets:
    """AES keys by their identifiers.

    Args:
        database: where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, identifier: bytes, key: bytes) -> None:
        """Add or replace one; ValueError if the key has no length of AES or the identifier is empty or too long."""
        if len(key) not in _LENGTHS or not 1 <= len(identifier) <= 64:
            raise ValueError("a shared secret has 16, 24 or 32 bytes, its identifier 1 to 64")
        self._database.execute("INSERT OR REPLACE INTO shared_secrets VALUES (?, ?)", identifier.hex(), key)

    def get(self, identifier: bytes) -> bytes | None:
        """The key of that name, or None."""
        row = self._database.row("SELECT value FROM shared_secrets WHERE identifier = ?", identifier.hex())
        return None if row is None else bytes(row["value"])

    def exist(self) -> bool:
        """Whether there is any."""
        return self._database.row("SELECT 1 FROM shared_secrets") is not None
