"""The four roles as four processes, each with a state directory of its own, connected by mutual TLS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from device_sdk_simulators.cale.pki import ROLES, make_pki
from device_sdk_simulators.command_process import CommandProcess
from device_sdk_simulators.softhsm import SimulatorError

_FOR_CLIENTS = ("url", "cale_url", "ca_file", "user", "password_file")


class RoleEndedError(SimulatorError):
    """A role did not start."""


class RoleProcess(CommandProcess):
    """`device-sdk-sim cale ROLE` in a process of its own; it ends when this one does, however that ends.

    Args:
        role: "edge", "authz", "origin" or "resource".
        words: arguments of the command.

    Attributes:
        facts: what it said about itself when it was ready.
    """

    failure = RoleEndedError

    def __init__(self, role: str, words: Sequence[str]) -> None:
        super().__init__(f"the {role} role", ["cale", role, *words], ends_with_us=True)
        self.role = role

    @property
    def state(self) -> Path:
        """State directory."""
        return Path(str(self.facts["state"]))


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
