"""Users and their passwords, kept as scrypt hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading

from device_sdk_simulators.database import Database

_N, _R, _P = 2**12, 8, 1


def _hash(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=_N, r=_R, p=_P, dklen=32)


class Users:
    """Who may enrol with a password."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # scrypt costs 10 ms: what was verified once in this process is remembered by a keyed hash
        self._key = os.urandom(32)
        self._verified: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def add(self, name: str, password: str) -> None:
        """Create a user, or give it this password."""
        salt = os.urandom(16)
        stored = f"scrypt${salt.hex()}${_hash(password.encode(), salt).hex()}"
        self._database.execute("INSERT OR REPLACE INTO users VALUES (?, ?)", name, stored)
        with self._lock:
            self._verified.pop(name, None)

    def check(self, name: str, password: str) -> bool:
        """Whether this is the user's password; takes as long for users that do not exist."""
        tag = hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")
        with self._lock:
            if hmac.compare_digest(self._verified.get(name, b""), tag):
                return True
        row = self._database.row("SELECT password FROM users WHERE name = ?", name)
        _scheme, salt, expected = str(row["password"]).split("$") if row else ("", "00" * 16, "00" * 32)
        good = hmac.compare_digest(_hash(password.encode(), bytes.fromhex(salt)).hex(), expected) and row is not None
        if good:
            with self._lock:
                self._verified[name] = tag
        return good


def basic_credentials(authorization: str) -> tuple[str, str] | None:
    """User name and password of a Basic Authorization header (RFC 7617, UTF-8); None if it is something else."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(token.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None
