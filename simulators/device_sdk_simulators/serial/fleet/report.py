"""What really happened to the devices of a fleet, for tests to hold against what a station says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import hashes

from device_sdk_simulators.serial.board import Board


@dataclass
class Member:
    """One device of a fleet.

    Attributes:
        number: from 0.
        board: the device.
        misfortune: what was to befall it, or None.
        line: the name of the line it was at, or "".
        counts: faults of its line that happened, by name.
        happened: faults of the device that happened.
    """

    number: int
    board: Board
    misfortune: str | None
    line: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    happened: list[str] = field(default_factory=list)

    def times(self, what: str) -> int:
        """How often something was done to it."""
        return sum(event.what == what for event in self.board.history)

    @property
    def state(self) -> str:
        """How far it got: untouched, touched, configured, keyed, installed or proved."""
        board = self.board
        if board.certificates:
            return "proved" if self._proved() else "installed"
        if board.made:
            return "keyed"
        if board.config is not None:
            return "configured"
        return "touched" if self.line and board.history else "untouched"

    def _proved(self) -> bool:
        enrolled = self.board.enrolled
        return any(event.what == "proved" and event.detail == enrolled for event in self.board.history)

    def describe(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        board = self.board
        return {
            "number": self.number,
            "serial_number": board.serial_number,
            "said_serial": board.said_serial or board.serial_number,
            "macs": list(board.macs),
            "line": self.line,
            "state": self.state,
            "misfortune": self.misfortune,
            "faults": self.counts | {name: self.happened.count(name) for name in self.happened},
            "keys": [hashlib.sha256(one.public_key).hexdigest() for one in board.made],
            "certificates": [one.fingerprint(hashes.SHA256()).hex() for one in board.certificates],
            "configured": self.times("configured"),
            "provisioned": len(board.certificates),
            "proved": self.times("proved"),
            "resets": self.times("reset"),
            "events": [[event.what, round(event.time, 3), event.detail] for event in board.history],
        }


def report(members: list[Member]) -> dict[str, Any]:
    """Counts, and every device."""
    states = [one.state for one in members]
    return {
        "devices": len(members),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "misfortunes": sum(one.misfortune is not None for one in members),
        "provisioned_twice": [one.board.serial_number for one in members if len(one.board.certificates) > 1],
        "members": [one.describe() for one in members],
    }
