"""A PostgreSQL server of the tests' own: in a directory of its own, on a Unix socket, with a password."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "correct horse; battery"  # of the tests
_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
_numbers = count()


class PostgresServer:
    """A server that has been started. As root it runs as the user postgres, since it refuses root.

    Attributes:
        directory: where the socket is.
        passfile: a file with the password, as libpq reads it.
    """

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._data, self._log = self.directory / "data", self.directory / "log"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            self._as = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.directory, "postgres")
        (self.directory / "password").write_text(PASSWORD)
        (self.directory / "password").chmod(0o644)
        self.passfile = self.directory / "passfile"
        self.passfile.write_text(f"*:*:*:*:{PASSWORD}\n")
        self.passfile.chmod(0o600)
        self._run("initdb", "-D", self._data, "-U", "lab", "-A", "scram-sha-256", f"--pwfile={self.directory / 'password'}",
                  "--no-sync", "--no-locale", "-E", "UTF8")  # fmt: skip
        self.start()

    def _run(self, program: str, *words: object) -> None:
        command = [str(_PROGRAMS[-1] / program), *map(str, words)]
        done = subprocess.run(command, cwd=self.directory, capture_output=True, check=False, timeout=120, **self._as)
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        settings = {"listen_addresses": "", "unix_socket_directories": self.directory, "fsync": "off", "shared_buffers": "16MB",
                    "max_connections": "50", "autovacuum": "off"}  # fmt: skip
        words = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in settings.items())
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "100", "-o", words, "-l", self._log, "start")

    def kill(self) -> None:
        """As a power cut does: the server and all its processes at once."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")

    def place(self) -> str:
        """A place of its own for a ledger: the URL of a user with a schema. Quicker to make than a database."""
        name = f"station{next(_numbers)}"
        self.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'; CREATE SCHEMA AUTHORIZATION {name}")
        return self.url(name)

    def url(self, user: str) -> str:
        """The URL of the database for a user."""
        return f"postgresql:///postgres?host={self.directory}&user={user}&passfile={self.passfile}"

    def sql(self, statement: str) -> None:
        """Have statements executed by the owner of everything."""
        with psycopg.connect(self.url("lab"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def close(self) -> None:
        """Stop it, and remove all of it."""
        if (self._data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._data, "-m", "immediate", "stop")
        shutil.rmtree(self.directory, ignore_errors=True)
