"""The four roles as four processes, each with a state directory of its own, connected by mutual TLS."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from device_sdk_simulators.cale.pki import ROLES, make_pki
from device_sdk_simulators.softhsm import SimulatorError

_READY_S = 30.0
_END_S = 15.0
_FOR_CLIENTS = ("url", "cale_url", "ca_file", "user", "password_file")


class RoleEndedError(SimulatorError):
    """A role did not start."""


class RoleProcess:
    """`device-sdk-sim cale ROLE` in a process of its own; it ends when this one does, however that ends.

    Args:
        role: "edge", "authz", "origin" or "resource".
        words: arguments of the command.

    Attributes:
        facts: what it said about itself when it was ready.
    """

    def __init__(self, role: str, words: Sequence[str]) -> None:
        self.role = role
        self.facts: dict[str, object] = {}
        self._words = ["cale", role, *words, "--json", "--until-end-of-input"]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start and wait until it is ready; RoleEndedError, with its own words on standard error before."""
        command = [sys.executable, "-m", "device_sdk_simulators.cli.main", *self._words]
        self._process = process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        output = process.stdout
        if output is None or not select.select([output], [], [], _READY_S)[0]:
            self.kill()
            raise RoleEndedError(f"the {self.role} role did not get ready in {_READY_S:.0f} s")
        line = output.readline()
        if not line:
            code = process.wait()
            self._close()
            raise RoleEndedError(f"the {self.role} role did not start (exit code {code})")
        self.facts = json.loads(line)
        return self

    @property
    def pid(self) -> int:
        """Process id."""
        return int(str(self.facts["pid"]))

    @property
    def url(self) -> str:
        """Base URL."""
        return str(self.facts["url"])

    @property
    def state(self) -> Path:
        """State directory."""
        return Path(str(self.facts["state"]))

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> list[dict[str, object]]:
        """The audit log, one dict a request."""
        lines = Path(str(self.facts["log_file"])).read_text().split("\n")[:-1]
        return [json.loads(line) for line in lines]

    def wait(self) -> int:
        """Wait until it ends; its exit code."""
        return self._process.wait() if self._process is not None else 0

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._close()

    def stop(self) -> int:
        """End it in order; its exit code."""
        process = self._process
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            self._close()

    def _close(self) -> None:
        process, self._process = self._process, None
        for stream in (process.stdin, process.stdout) if process is not None else ():
            if stream is not None:
                stream.close()


class Installation:
    """All four roles; ready when the `with` block begins, gone when it ends.

    Args:
        state: directory with one below it for each role; what is there is used again.
        words: further arguments of each role's command, by role.
        names: further names and addresses of the edge device.

    Attributes:
        roles: the processes, by role.
    """

    def __init__(
        self, state: Path, words: Mapping[str, Sequence[str]] | None = None, *, names: Sequence[str] = ()
    ) -> None:
        self.state = state.absolute()
        self._words = words or {}
        self._names = names
        self._stopping = False
        self.roles: dict[str, RoleProcess] = {}

    def start(self) -> Self:
        """Make what is missing and start the roles, those that are called first; SimulatorError."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        peers = {
            role: made["name"]
            for role, made in make_pki(self.state, datetime.now(UTC), public_names=self._names).items()
        }
        try:
            self._begin("resource", "--peer", peers["origin"])
            self._begin("authz", "--peer", peers["edge"])
            self._begin("origin", "--peer", peers["edge"], "--resource", self.at("resource", peers))
            self._begin("edge", "--authz", self.at("authz", peers), "--origin", self.at("origin", peers))
        except BaseException:
            self.stop()
            raise
        return self

    def at(self, role: str, peers: Mapping[str, str]) -> str:
        """Where a role is and who it is, as options name it: NAME=URL."""
        return f"{peers[role]}={self.roles[role].url}"

    def _begin(self, role: str, *words: str) -> None:
        process = RoleProcess(role, ["--state", str(self.state / role), *words, *self._words.get(role, ())])
        self.roles[role] = process
        process.start()

    def describe(self) -> dict[str, object]:
        """What a client needs to know, and where every role is, as data."""
        edge = self.roles["edge"].facts
        facts: dict[str, object] = {name: edge[name] for name in _FOR_CLIENTS if name in edge}
        return facts | {"state": str(self.state), "roles": {role: self.roles[role].facts for role in ROLES}}

    def watch(self, ended: Callable[[str, int], None]) -> None:
        """Call `ended` with role and exit code when a process ends by itself."""

        def wait(process: RoleProcess) -> None:
            code = process.wait()
            if not self._stopping:
                ended(process.role, code)

        for process in self.roles.values():
            threading.Thread(target=wait, args=(process,), daemon=True).start()

    def stop(self) -> None:
        """End the roles, the edge device first."""
        self._stopping = True
        for role in ROLES:
            if role in self.roles:
                self.roles[role].stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
