"""Users and their passwords: kept as scrypt hashes, those that the server drew as SHA-256 ones, and as HTTP Digest needs them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from device_sdk_simulators.database import Database

REALM = "estrealm"
DIGESTS = ("SHA-256", "MD5")
_N, _R, _P = 2**12, 8, 1


def _hash(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=_N, r=_R, p=_P, dklen=32)


def _quick_hash(password: bytes, salt: bytes) -> bytes:
    return hashlib.sha256(salt + password).digest()


def digest(algorithm: str, text: bytes) -> str:
    """H() of RFC 7616 section 3.3, in hex; the algorithm is one of DIGESTS."""
    return hashlib.new(algorithm.replace("-", "").lower(), text, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Login:
    """What a server needs to check Digest answers of one user: H(A1) is as good as the password in this realm."""

    name: str
    ha1: str = field(repr=False)


class Users:
    """Who may enrol with a password.

    Args:
        database: where they are kept.
        keep_digests: whether Digest is offered: only then is H(A1) of new passwords written down, since whoever reads
            it can log in with it (RFC 7616 section 5.2), which cannot be done with scrypt's hashes.
    """

    def __init__(self, database: Database, keep_digests: Callable[[], bool] = lambda: False) -> None:
        self._database = database
        self._keep_digests = keep_digests
        # scrypt costs 10 ms: what was set or verified in this process is remembered by a keyed hash
        self._key = os.urandom(32)
        self._verified: dict[str, tuple[bytes, str]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, password: str, *, drawn: bool = False) -> None:
        """Create a user, or give it this password.

        Args:
            name: the user's.
            password: as UTF-8.
            drawn: it is from a generator of 96 bits and more: nobody guesses it from its hash, however quick that is.
        """
        salt = os.urandom(16)
        scheme, hashed = ("sha256", _quick_hash) if drawn else ("scrypt", _hash)
        stored = f"{scheme}${salt.hex()}${hashed(password.encode(), salt).hex()}"
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO users VALUES (?, ?)", (name, stored))
            connection.execute("DELETE FROM digests WHERE name = ?", (name,))
            if self._keep_digests():
                connection.executemany("INSERT INTO digests VALUES (?, ?, ?, ?)", _digests(name, password))
        with self._lock:
            self._verified[name] = (self._tag(name, password), stored)

    def _tag(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")

    def check(self, name: str, password: str) -> bool:
        """Whether this is the user's password; takes as long for users that do not exist."""
        tag = self._tag(name, password)
        row = self._database.row("SELECT password FROM users WHERE name = ?", name)
        with self._lock:
            known, of = self._verified.get(name, (b"", ""))
        # another process may have removed the user, or given it another password
        if row is not None and hmac.compare_digest(known, tag) and row["password"] == of:
            self._complete(name, password)
            return True
        scheme, salt, expected = str(row["password"]).split("$") if row else ("", "00" * 16, "00" * 32)
        hashed = _hash(password.encode(), bytes.fromhex(salt))
        if scheme == "sha256":
            # after the slow one, as for everybody
            hashed = _quick_hash(password.encode(), bytes.fromhex(salt))
        good = hmac.compare_digest(hashed.hex(), expected) and row is not None
        if good and row is not None:
            self._complete(name, password)
            with self._lock:
                self._verified[name] = (tag, str(row["password"]))
        return good

    def names(self) -> list[str]:
        """Who may log in."""
        return [str(row["name"]) for row in self._database.rows("SELECT name FROM users ORDER BY name")]

    def any(self) -> bool:
        """Whether there is anybody who may log in."""
        return self._database.row("SELECT name FROM users LIMIT 1") is not None

    def remove(self, name: str) -> bool:
        """The user may log in no more; False if there is none. Certificates stay: they are revoked, not forgotten."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM digests WHERE name = ?", (name,))
            return connection.execute("DELETE FROM users WHERE name = ?", (name,)).rowcount > 0

    def login(self, name: str, algorithm: str, *, hashed: bool = False) -> Login | None:
        """What Digest needs to know of a user, or None.

        Args:
            name: the user's, or its hash.
            algorithm: one of DIGESTS.
            hashed: the name is H(name ":" realm) (RFC 7616 section 3.4.4).
        """
        column = "userhash" if hashed else "name"
        row = self._database.row(
            f"SELECT name, ha1 FROM digests WHERE {column} = ? AND algorithm = ?",  # noqa: S608 - one of two words
            name,
            algorithm,
        )
        return Login(str(row["name"]), str(row["ha1"])) if row else None

    def _complete(self, name: str, password: str) -> None:
        """Users of a database from before Digest was offered get theirs when they show their password."""
        if self._keep_digests() and self.login(name, DIGESTS[0]) is None:
            with self._database.transaction() as connection:
                connection.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)", _digests(name, password))


def _digests(name: str, password: str) -> list[tuple[str, str, str, str]]:
    who = f"{name}:{REALM}".encode()
    return [(name, each, digest(each, who + b":" + password.encode()), digest(each, who)) for each in DIGESTS]


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
