"""Starts the programs of the demonstration and ends them."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_END_S = 20


class ProgramError(Exception):
    """A program did not do what it should; the message says which and what it printed."""


class Simulator:
    """One `device-sdk-sim` command, running until the with-block ends.

    Attributes:
        facts: the JSON line it printed when it was ready.
    """

    def __init__(self, *words: str | Path) -> None:
        self._words = ["device-sdk-sim", *map(str, words), "--json"]
        self.facts: dict[str, Any] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What programs that use the simulator need in their environment."""
        return dict(self.facts.get("environment", {}))

    def __enter__(self) -> Self:
        # a process group of its own: a Ctrl-C at the terminal ends the demonstration, and that ends the simulators in order
        self._process = subprocess.Popen(
            self._words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, process_group=0
        )
        try:
            self._read_facts()
        except BaseException:
            self._end()
            raise
        return self

    def _read_facts(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ProgramError(f"{' '.join(self._words[:2])} ended with {self._process.wait()}")
        self.facts = json.loads(line)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def wait(self) -> None:
        """Until it ends."""
        self._process.wait()


class Server(Simulator):
    """The reference server with one user, whose password is in a file."""

    user = "bench"

    def __init__(self, directory: Path) -> None:
        self.password_file = directory / "password"
        with os.fdopen(os.open(self.password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(12))
        super().__init__("server", "--state", directory / "server", "--port", "0", "--user", self.user,
                         "--password-file", self.password_file)  # fmt: skip

    @property
    def url(self) -> str:
        """EST."""
        return str(self.facts["url"])

    @property
    def cale_url(self) -> str:
        """The CALE edge device."""
        return str(self.facts["cale_url"])

    @property
    def fingerprint(self) -> str:
        """What would be printed on the delivery note: SHA-256 of the CA certificate."""
        return f"sha256:{self.facts['ca_sha256']}"

    def log(self) -> list[dict[str, Any]]:
        """Every request the server answered, in order."""
        return [json.loads(line) for line in Path(self.facts["log_file"]).read_text().splitlines()]


def run(words: list[str], environment: dict[str, str]) -> dict[str, Any]:
    """Run one `device-sdk` command with --json and give back its data.

    Raises:
        ProgramError: it failed; the message is what it said.
    """
    done = subprocess.run(
        [*words, "--json"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        raise ProgramError(f"{' '.join(words)} exited with {done.returncode}: {done.stderr.strip()}")
    data: dict[str, Any] = json.loads(done.stdout)
    return data
