"""How many devices ended how, also in a run that was broken off and goes on."""

from __future__ import annotations

import heapq
from typing import TypeAlias

from device_sdk.station.ledger import Entry, LedgerReader
from device_sdk.station.profile import Profile

KNOWN = "known"
_KINDS = ("provisioned", "failed", "note")
_Who: TypeAlias = tuple[str, str]


class Tally:
    """Counts each end of a device. What a resumed run meets again is counted once.

    Attributes:
        provisioned: devices that were.
        failed: devices, or lines without one, that were not.
        known: devices that were left alone.
    """

    def __init__(self) -> None:
        self.provisioned = self.failed = self.known = 0
        self._before: dict[_Who, str] = {}

    @property
    def ended(self) -> int:
        """All of them."""
        return self.provisioned + self.failed + self.known

    def restore(self, ledger: LedgerReader, run: str, profile: Profile) -> None:
        """Take up what the ledger has of this run by this profile: the last word of each device; raises LedgerError."""
        found = (ledger.entries(run=run, kind=kind) for kind in _KINDS)
        for entry in heapq.merge(*found, key=lambda entry: entry.number):
            if entry.kind == "note" and entry.outcome == KNOWN:
                self._before.setdefault(_who(entry), KNOWN)
            elif entry.kind != "note" and _is_by(entry, profile):
                self._before[self._whose(entry)] = entry.kind
        for outcome in self._before.values():
            self._add(outcome, 1)

    def done_before(self, serial_number: str) -> bool:
        """Whether this run had provisioned the device when it was broken off, and has not met it since."""
        return self._before.get(("device", serial_number)) == "provisioned"

    def count(self, outcome: str, line: str, serial_number: str | None) -> bool:
        """One more end: "provisioned", "failed" or "known". False if it says nothing new of a device that was counted already.

        Args:
            outcome: which.
            line: where.
            serial_number: whose; None where nobody said who it is.
        """
        who = ("line", line) if serial_number is None else ("device", serial_number)
        if outcome == "failed" and serial_number is not None:
            if self._before.pop(_refused(serial_number, line), None) is not None:
                return False
            if self._before.get(who) == "provisioned":  # that was one device, and what failed is another of its name
                self._add(outcome, 1)
                return True
        before = self._before.pop(who, None)
        if before == outcome or (before == "provisioned" and outcome == KNOWN):
            return False
        if before is not None:
            self._add(before, -1)
        self._add(outcome, 1)
        return True

    def _whose(self, entry: Entry) -> _Who:
        """What says the serial number of a device that was provisioned, and fails, is another one."""
        who = _who(entry)
        if entry.kind == "failed" and who[0] == "device" and self._before.get(who) == "provisioned":
            return _refused(who[1], entry.line or "")
        return who

    def _add(self, outcome: str, number: int) -> None:
        setattr(self, outcome, getattr(self, outcome) + number)


def _refused(serial_number: str, line: str) -> _Who:
    return "refused", f"{serial_number} {line}"


def _is_by(entry: Entry, profile: Profile) -> bool:
    said = (entry.facts.get("profile", profile.name), entry.facts.get("profile_version", profile.version))
    return said == (profile.name, profile.version)


def _who(entry: Entry) -> _Who:
    """A device, or a line on which nobody said who it is."""
    device = entry.device or entry.facts.get("serial_number")
    return ("device", str(device)) if device else ("line", entry.line or "")
