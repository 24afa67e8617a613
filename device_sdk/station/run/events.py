"""What happens in a run, as it happens: for progress in the terminal, the station's page and lines of JSON.

Events are for looking at. What has to be known years later is in the ledger, which is written first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import ClassVar, TypeAlias

from device_sdk.station.run.states import DeviceState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        kind: stable name of the kind, in JSON "event".
        at: POSIX seconds.
    """

    kind: ClassVar[str]
    at: float = field(default_factory=time.time)

    def to_json(self) -> dict[str, object]:
        """As data; what is not known is left out."""
        return {"event": self.kind} | {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """The station begins.

    Attributes:
        run: the run's name in the ledger.
        station: the station's name.
        profile: name of the profile.
        version: of the profile.
        mode: "self", "relay" or "configure".
        steps: what every device goes through, in order.
        devices: how many devices the run is for, if that was said.
        provisioned: devices that were before it was broken off, if it goes on.
        failed: as many were not.
        known: as many were left alone.
    """

    kind = "run-started"
    run: str
    station: str
    profile: str
    version: str
    mode: str
    steps: tuple[str, ...]
    devices: int | None = None
    provisioned: int = 0
    failed: int = 0
    known: int = 0


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event):
    """The station is at its end; every worker has stopped.

    Attributes:
        run: as in RunStarted.
        provisioned: devices that were.
        failed: devices, or lines without one, that were not.
        known: devices that were left alone, as they had been provisioned before.
        elapsed_s: how long it took.
        reason: "done", "interrupted", or what stopped the station.
    """

    kind = "run-ended"
    run: str
    provisioned: int
    failed: int
    known: int
    elapsed_s: float
    reason: str = "done"


@dataclass(frozen=True, kw_only=True)
class LineFound(Event):
    """A line is there, and has a worker now."""

    kind = "line-found"
    line: str


@dataclass(frozen=True, kw_only=True)
class LineLost(Event):
    """A line is gone (its adapter was pulled); its worker waits until it comes back."""

    kind = "line-lost"
    line: str


@dataclass(frozen=True, kw_only=True)
class LineEnded(Event):
    """A line will not be looked at any more in this run."""

    kind = "line-ended"
    line: str


@dataclass(frozen=True, kw_only=True)
class Waiting(Event):
    """Nobody is there on a line, or the device on it is done: the next one is waited for.

    Attributes:
        line: which.
        reason: in words.
    """

    kind = "waiting"
    line: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceChanged(Event):
    """A device is in another state.

    Attributes:
        line: where.
        serial_number: which; None while it has not said.
        state: the new one, never PROVISIONED or FAILED: those are events of their own.
        done: how many of the profile's steps are done.
        attempt: 1 for the first.
    """

    kind = "device-changed"
    line: str
    serial_number: str | None
    state: DeviceState
    done: int = 0
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class StepStarted(Event):
    """A step begins.

    Attributes:
        line: where.
        serial_number: on which device; None while it has not said.
        step: its name.
        attempt: 1 for the first.
        limit_s: how long it may take.
    """

    kind = "step-started"
    line: str
    serial_number: str | None
    step: str
    attempt: int = 1
    limit_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class StepEnded(Event):
    """A step is at its end.

    Attributes:
        line: where.
        serial_number: on which device; None while it has not said.
        step: its name.
        outcome: "done", "kept" (an earlier run had done it) or "failed".
        elapsed_s: how long it took.
        words: what went wrong.
    """

    kind = "step-ended"
    line: str
    serial_number: str | None
    step: str
    outcome: str
    elapsed_s: float
    words: str | None = None


@dataclass(frozen=True, kw_only=True)
class Retrying(Event):
    """What failed is tried again after a while.

    Attributes:
        line: where.
        serial_number: which device, if it is known.
        step: that failed.
        attempt: the number of the attempt that follows.
        wait_s: how long is waited.
        reason: in words.
    """

    kind = "retrying"
    line: str
    serial_number: str | None
    step: str
    attempt: int
    wait_s: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class DeviceProvisioned(Event):
    """A device is done, and proved it where there is a certificate.

    Attributes:
        line: where.
        serial_number: which.
        elapsed_s: since it was seen.
        certificate_sha256: of its certificate, 64 hex digits; None where the mode makes none.
        known: it had been provisioned before and was left alone.
        counted: it is one more in the run's numbers; False where a run that goes on had counted it before.
    """

    kind = "device-provisioned"
    line: str
    serial_number: str
    elapsed_s: float
    certificate_sha256: str | None = None
    known: bool = False
    counted: bool = True


@dataclass(frozen=True, kw_only=True)
class DeviceFailed(Event):
    """A device, or a line on which none answers, is given up.

    Attributes:
        line: where.
        serial_number: which; None if it never said.
        step: at which it failed.
        code: of the error (`DeviceSdkError.code`).
        reason: in words, with what to do.
        excerpt: the end of what the line showed, at most 2,000 characters.
        elapsed_s: since it was seen.
        counted: as in DeviceProvisioned.
    """

    kind = "device-failed"
    line: str
    serial_number: str | None
    step: str
    code: str
    reason: str
    excerpt: str | None = None
    elapsed_s: float = 0.0
    counted: bool = True


@dataclass(frozen=True, kw_only=True)
class DeviceReleased(Event):
    """The station was stopped in the middle of a device; the next run goes on with it."""

    kind = "device-released"
    line: str
    serial_number: str
    step: str


@dataclass(frozen=True, kw_only=True)
class Note(Event):
    """Something a person should know.

    Attributes:
        words: one sentence.
        line: where, if it is about a line.
        serial_number: which device it is about.
    """

    kind = "note"
    words: str
    line: str | None = None
    serial_number: str | None = None


Observer: TypeAlias = Callable[[Event], None]
"""Is told each event, one after the other, by the thread in which it happens; it must be quick and must not raise."""


class EventStream:
    """Tells events to any number of observers. Threads may share it.

    An observer that raises is told nothing any more; the run goes on without it.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = list(observers)
        self._turn = threading.RLock()

    def add(self, observer: Observer) -> Callable[[], None]:
        """Tell this one, too, from now on; what is returned ends that."""
        with self._turn:
            self._observers.append(observer)

        def remove() -> None:
            with self._turn:
                if observer in self._observers:
                    self._observers.remove(observer)

        return remove

    def emit(self, event: Event) -> None:
        """Tell everybody."""
        with self._turn:
            for observer in tuple(self._observers):
                try:
                    observer(event)
                except Exception:  # noqa: BLE001  # whatever it is, the devices on the lines go on
                    self._observers.remove(observer)
                    _log.exception("an observer of the run failed and is told nothing any more")
