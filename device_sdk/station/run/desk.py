"""What all workers of a run share: the profile, the ledger, what is kept, who is told, and whether to go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from device_sdk.client.bench import DeviceFacts
from device_sdk.client.est.clock import Clock
from device_sdk.errors import BenchError, DeviceSdkError
from device_sdk.station.ledger import Claim, Ledger
from device_sdk.station.profile import Profile
from device_sdk.station.run.events import EventStream
from device_sdk.station.run.failures import StoppedError
from device_sdk.station.run.kept import Kept
from device_sdk.station.run.proof import Trust
from device_sdk.station.run.relay import RelayServer
from device_sdk.station.run.session import Opener, Session
from device_sdk.station.run.tally import Tally


@dataclass
class Desk:
    """See the module. Threads share it.

    Attributes:
        profile: what is done.
        ledger: where it is written down.
        kept: what is under way.
        events: who is told.
        open: opens lines.
        server: the EST server; None where the mode needs none.
        run: name of the run.
        station: name of the station.
        operator: who started it.
        allowed: the serial numbers that are expected; None for all.
        devices: how many devices the run is for; None for any number.
        clock: the time.
        tally: what came of it so far.
        stopping: set when no new step is to begin.
        cancelled: set when the steps that are being done are to end, too.
        fault: what ended the run before its time.
    """

    profile: Profile
    ledger: Ledger
    kept: Kept
    events: EventStream
    open: Opener
    server: RelayServer | None
    run: str
    station: str
    operator: str
    allowed: frozenset[str] | None = None
    devices: int | None = None
    clock: Clock = field(default_factory=Clock)
    tally: Tally = field(default_factory=Tally)
    stopping: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    fault: BaseException | None = None

    def __post_init__(self) -> None:
        self._turn = threading.RLock()  # a signal may find the main thread in it
        self._sessions: dict[str, Session] = {}
        self._strangers: set[str] = set()  # lines on which nobody has said yet who it is
        self._claims: dict[str, Claim] = {}
        self._room = threading.BoundedSemaphore(self.profile.limits.parallel)

    def check_stop(self) -> None:
        """Raises StoppedError if the run is being stopped."""
        if self.stopping.is_set():
            raise StoppedError

    def pause(self, seconds: float) -> None:
        """Wait; ends at once when the run is stopped."""
        self.stopping.wait(seconds)

    def fail(self, error: BaseException) -> None:
        """The run cannot go on; the first reason counts."""
        with self._turn:
            self.fault = self.fault or error
        self.stop()

    def stop(self) -> None:
        """Begin no new step; lines on which nobody is being worked on are not waited for."""
        self.stopping.set()
        with self._turn:
            sessions = [self._sessions[line] for line in self._strangers]
        for session in sessions:
            session.cancel()

    def count(self, outcome: str, line: str, serial_number: str | None) -> bool:
        """One more device ended, see Tally.count; the last one of `devices` ends the run."""
        with self._turn:
            new = self.tally.count(outcome, line, serial_number)
        if self.complete:
            self.stop()
        return new

    @property
    def complete(self) -> bool:
        """Whether as many devices ended as the run is for."""
        return self.devices is not None and self.tally.ended >= self.devices

    @contextmanager
    def room(self) -> Iterator[None]:
        """A place among the devices that are worked on at the same time.

        Raises:
            StoppedError: the run was stopped before there was one.
        """
        while not self._room.acquire(timeout=0.2):
            self.check_stop()
        try:
            yield
        finally:
            self._room.release()

    @contextmanager
    def opened(self, line: str, *, stranger: bool) -> Iterator[Session]:
        """A line, open; closed at the end, whatever the device says to that.

        Args:
            line: which.
            stranger: whether nobody is being worked on there, until `met`.

        Raises:
            BenchError: what the line says.
        """
        session = self.open(line, self.run)
        with self._turn:
            self._sessions[line] = session
            if stranger:
                self._strangers.add(line)
        if self.cancelled.is_set() or (stranger and self.stopping.is_set()):  # while it was being opened
            session.cancel()
        try:
            yield session
        finally:
            with self._turn:
                self._strangers.discard(line)
                self._sessions.pop(line, None)
            try:
                with suppress(BenchError):
                    session.device.close()
            finally:
                session.release()

    def met(self, line: str) -> None:
        """Somebody there said who it is: the step it is in will be finished."""
        with self._turn:
            self._strangers.discard(line)

    def cancel(self) -> None:
        """End what devices are being asked just now, and commands on the station."""
        self.cancelled.set()
        with self._turn:
            sessions = tuple(self._sessions.values())
        for session in sessions:
            session.cancel()

    @contextmanager
    def claimed(self, facts: DeviceFacts, line: str, *, again: bool = False, proved: bool = False) -> Iterator[Claim]:
        """The device is this station's in this block, and no other's; raises as Ledger.claim."""
        said = {"macs": list(facts.macs)} if facts.macs else {}
        ttl_s = self.profile.limits.claim_s
        claim = self.ledger.claim(
            facts.serial_number,
            self.station,
            self.run,
            ttl_s,
            line=line,
            facts=said | self.about,
            again=again,
            proved=proved,
        )
        with self._turn:
            self._claims[claim.device] = claim
        try:
            yield claim
        finally:
            with self._turn:
                self._claims.pop(claim.device, None)

    def renew_claims(self) -> None:
        """Give signs of life of every device that is under way. A claim that was lost shows at the next step."""
        with self._turn:
            claims = tuple(self._claims.values())
        for claim in claims:
            with suppress(BenchError):
                self.ledger.renew(claim)

    @property
    def about(self) -> dict[str, object]:
        """What is true of all devices of the run, for the ledger."""
        profile = self.profile
        return {
            "profile": profile.name,
            "profile_version": profile.version,
            "profile_sha256": profile.sha256,
            "mode": profile.mode,
            "operator": self.operator,
        }

    def trust(self) -> Trust:
        """What devices' certificates have to lead to; raises DeviceSdkError."""
        return self.server.trust() if self.server is not None else Trust(self.profile.anchors())

    def refused(self, line: str, step: str, error: DeviceSdkError, facts: Mapping[str, object]) -> None:
        """Write down a failure on a line whose device this station has no claim on."""
        self.ledger.append(
            "failed",
            line=line,
            run=self.run,
            step=step,
            outcome=error.code,
            facts=self.about | about_error(error) | dict(facts),
        )


def about_error(error: DeviceSdkError) -> dict[str, object]:
    """An error as the ledger has it: in words a person understands, with what to do and what the line showed."""
    found: dict[str, object] = {"reason": str(error), "code": error.code}
    excerpt = getattr(error, "excerpt", None)
    if excerpt:
        found["excerpt"] = str(excerpt)[-2000:]
    device_code = getattr(error, "device_code", None)
    return found | ({"device_code": device_code} if device_code else {})
