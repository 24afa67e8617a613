"""What is on the benches now: the ledger's entries of the last run of each station, folded line by line."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from device_sdk.station.ledger import Entry
from device_sdk.station.ledger.reader import LedgerReader

_MAX_RUNS = 16
_MAX_LINES = 1024
_RECENT = 50
_ENDS = {"provisioned": "provisioned", "failed": "failed", "released": "released"}


@dataclass
class Bench:
    """One line of a run.

    Attributes:
        line: its name.
        device: serial number of the device that is or was last on it.
        state: "seen", "working", "provisioned", "failed" or "released".
        step: the last step that was written down.
        done: how many steps of the device are done.
        since: when the device was first seen on it, RFC 3339.
        at: when something last happened, RFC 3339.
        reason: why it failed.
        provisioned: devices that were provisioned on it in this run.
        failed: devices that failed on it in this run.
    """

    line: str
    device: str | None = None
    state: str = "seen"
    step: str = ""
    done: int = 0
    since: str = ""
    at: str = ""
    reason: str = ""
    provisioned: int = 0
    failed: int = 0

    def take(self, entry: Entry) -> None:
        """The next entry about this line."""
        if entry.device != self.device or entry.kind == "seen":
            self.device, self.done, self.step, self.reason, self.since = entry.device, 0, "", "", entry.time
        self.at = entry.time
        if entry.kind in _ENDS:
            self.state = _ENDS[entry.kind]
            self.reason = str(entry.facts.get("reason", "")) if entry.kind == "failed" else ""
            self.step = entry.step or self.step
            if entry.kind != "released":
                setattr(self, entry.kind, getattr(self, entry.kind) + 1)
            return
        self.state = "seen" if entry.kind == "seen" else "working"
        if entry.kind == "step" and entry.step:
            self.step = entry.step
            self.done += entry.outcome in ("done", "kept")


@dataclass
class Run:
    """A run of a station.

    Attributes:
        run: its name.
        station: of which station.
        profile: name and version of the profile.
        mode: "self", "relay" or "configure".
        steps: of the profile.
        started: RFC 3339.
        ended: RFC 3339; "" while it goes on, or if nobody wrote its end.
        reason: how it ended.
        provisioned: devices.
        failed: devices.
        benches: line by line.
    """

    run: str
    station: str = ""
    profile: str = ""
    mode: str = ""
    steps: tuple[str, ...] = ()
    started: str = ""
    ended: str = ""
    reason: str = ""
    provisioned: int = 0
    failed: int = 0
    benches: dict[str, Bench] = field(default_factory=dict)

    def take(self, entry: Entry) -> None:
        """The next entry of this run."""
        if entry.kind == "run-started":
            facts = entry.facts
            self.station, self.mode = str(facts.get("station", "")), str(facts.get("mode", ""))
            self.profile = f"{facts.get('profile', '')} {facts.get('profile_version', '')}".strip()
            steps = facts.get("steps")
            self.steps = tuple(map(str, steps)) if isinstance(steps, list) else ()
            self.started, self.ended, self.reason = self.started or entry.time, "", ""
        elif entry.kind == "run-ended":
            self.ended, self.reason = entry.time, entry.outcome or ""
        if entry.kind in ("provisioned", "failed"):
            setattr(self, entry.kind, getattr(self, entry.kind) + 1)
        if entry.line and (entry.line in self.benches or len(self.benches) < _MAX_LINES):
            self.benches.setdefault(entry.line, Bench(entry.line)).take(entry)

    def to_json(self) -> dict[str, object]:
        """As data."""
        return vars(self) | {"benches": [vars(self.benches[line]) for line in sorted(self.benches)]}


class Benches:
    """Follows a ledger. Threads may share it.

    Args:
        ledger: open for reading.
    """

    def __init__(self, ledger: LedgerReader) -> None:
        self._ledger = ledger
        self._turn = threading.Lock()
        self._after = 0
        self._runs: dict[str, Run] = {}
        self._recent: deque[dict[str, object]] = deque(maxlen=_RECENT)

    def now(self) -> dict[str, object]:
        """Everything the live page shows: the newest runs first, and what happened last.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        with self._turn:
            self._take(self._ledger.entries(self._after))
            return {
                "number": self._after,
                "runs": [run.to_json() for run in reversed(self._runs.values())],
                "recent": list(self._recent),
            }

    def _take(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._after = entry.number
            if entry.run:
                # the newest is the last one; what has long been at its end is not live
                run = self._runs.pop(entry.run, None) or Run(entry.run)
                self._runs[entry.run] = run
                run.take(entry)
                while len(self._runs) > _MAX_RUNS:
                    del self._runs[next(iter(self._runs))]
            if entry.kind in ("provisioned", "failed", "released", "run-started", "run-ended", "note"):
                self._recent.appendleft(_short(entry))


def _short(entry: Entry) -> dict[str, object]:
    words = str(entry.facts.get("reason") or entry.facts.get("note") or entry.outcome or "")
    return {
        "number": entry.number,
        "time": entry.time,
        "kind": entry.kind,
        "device": entry.device,
        "line": entry.line,
        "step": entry.step,
        "words": words[:300],
    }
