"""What the rows say: a run's events, folded line by line. No terminal in it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TypeAlias

from device_sdk.station.run import events

_OnLine: TypeAlias = (
    events.DeviceChanged
    | events.StepStarted
    | events.StepEnded
    | events.Retrying
    | events.Waiting
    | events.DeviceProvisioned
    | events.DeviceFailed
    | events.DeviceReleased
)


@dataclass
class Row:
    """One line.

    Attributes:
        line: its name.
        device: serial number of the device on it, as it was said; "" if nobody is there.
        words: what goes on, or how it ended.
        state: "waiting", "working", "trying" (again), "provisioned", "failed", "released", "lost" or "ended".
        done: steps that are done.
        since: POSIX seconds, when this device or this waiting began.
        until: POSIX seconds, when it ended; None while it goes on.
    """

    line: str
    device: str = ""
    words: str = ""
    state: str = "waiting"
    done: int = 0
    since: float = 0.0
    until: float | None = None


class Board:
    """All rows and the totals of a run; an observer of its events. Threads may share it.

    Attributes:
        rows: by line.
        steps: how many steps a device has.
        devices: how many devices the run is for, if that is known.
        started: POSIX seconds.
        provisioned: devices so far.
        failed: devices so far.
        known: devices that had been provisioned before.
        before: how many of all these there were before the run was broken off.
    """

    def __init__(self) -> None:
        self.turn = threading.RLock()
        self.rows: dict[str, Row] = {}
        self.steps = 0
        self.devices: int | None = None
        self.started = 0.0
        self.provisioned = self.failed = self.known = 0
        self.before = self._provisioned_before = 0

    def __call__(self, event: events.Event) -> None:
        """The next event."""
        with self.turn:
            match event:
                case events.RunStarted():
                    self._begin(event)
                case events.LineFound() | events.LineLost() | events.LineEnded():
                    self._line(event)
                case (
                    events.DeviceChanged()
                    | events.StepStarted()
                    | events.StepEnded()
                    | events.Retrying()
                    | events.Waiting()
                    | events.DeviceProvisioned()
                    | events.DeviceFailed()
                    | events.DeviceReleased()
                ):
                    self._device(event)
                case _:
                    pass

    @property
    def ended(self) -> int:
        """Devices that are at their end, one way or another."""
        return self.provisioned + self.failed + self.known

    def per_minute(self, now: float) -> float:
        """Devices provisioned a minute, since the beginning."""
        elapsed, done = now - self.started, self.provisioned - self._provisioned_before
        return done * 60 / elapsed if self.started and elapsed > 0 else 0.0

    def left_s(self, now: float) -> float | None:
        """Seconds until the last device, if it goes on as it went; None if that cannot be known."""
        ended = self.ended - self.before
        if self.devices is None or ended <= 0 or not self.started:
            return None
        return (now - self.started) / ended * max(0, self.devices - self.ended)

    def _begin(self, event: events.RunStarted) -> None:
        self.steps, self.devices, self.started = len(event.steps), event.devices, event.at
        self.provisioned, self.failed, self.known = event.provisioned, event.failed, event.known
        self.before, self._provisioned_before = self.ended, self.provisioned

    def _line(self, event: events.LineFound | events.LineLost | events.LineEnded) -> None:
        row = self.rows.setdefault(event.line, Row(event.line, since=event.at))
        if isinstance(event, events.LineFound):
            row.state, row.words, row.device, row.since, row.until = "waiting", "found", "", event.at, None
        elif isinstance(event, events.LineLost):
            row.state, row.words = "lost", "line gone"
        elif row.state in ("waiting", "lost"):
            row.state, row.words = "ended", ""

    def _device(self, event: _OnLine) -> None:
        row = self.rows.setdefault(event.line, Row(event.line, since=event.at))
        if isinstance(event, events.Waiting):
            if row.state not in ("provisioned", "failed"):
                row.state, row.words, row.device, row.since, row.until = "waiting", event.reason, "", event.at, None
            return
        serial = event.serial_number or ""
        if row.device != serial or row.until is not None:
            row.device, row.done, row.since, row.until = serial, 0, event.at, None
        match event:
            case events.DeviceChanged():
                row.state, row.words, row.done = "working", event.state.value, event.done
            case events.StepStarted():
                row.state, row.words = "working", event.step
            case events.Retrying():
                row.state, row.words = "trying", f"{event.step}: {event.reason}; attempt {event.attempt}"
            case events.StepEnded():
                row.words = event.step if event.outcome != "failed" else f"{event.step}: {event.words or 'failed'}"
            case _:
                self._end(row, event)

    def _end(self, row: Row, event: _OnLine) -> None:
        row.until = event.at
        if isinstance(event, events.DeviceProvisioned):
            row.state, row.done = "provisioned", self.steps
            done = "provisioned" if event.certificate_sha256 else "configured, nothing proved"
            row.words = "provisioned before" if event.known else done
            self.known += event.counted and event.known
            self.provisioned += event.counted and not event.known
        elif isinstance(event, events.DeviceFailed):
            row.state, row.words = "failed", f"{event.step}: {event.reason}"
            self.failed += event.counted
        elif isinstance(event, events.DeviceReleased):
            row.state, row.words = "released", f"let go at {event.step}"
