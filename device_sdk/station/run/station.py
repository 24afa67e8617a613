"""The station: finds lines, gives each a worker, and brings the run to its end, whatever ends it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from device_sdk.errors import LedgerError, LineError
from device_sdk.state.lock import DirectoryLock
from device_sdk.station.ledger import Ledger
from device_sdk.station.profile import Profile
from device_sdk.station.run import under_way
from device_sdk.station.run.desk import Desk
from device_sdk.station.run.events import EventStream, Note, RunEnded, RunStarted
from device_sdk.station.run.kept import Kept
from device_sdk.station.run.lines import present, signature
from device_sdk.station.run.relay import RelayServer
from device_sdk.station.run.session import Opener
from device_sdk.station.run.signals import noted_interrupts
from device_sdk.station.run.tally import Tally
from device_sdk.station.run.under_way import UnderWay
from device_sdk.station.run.worker import LineWorker

_TICK_S = 0.2
_SLOW_S = 5.0


@dataclass(frozen=True)
class Limits:
    """How much of it.

    Attributes:
        lines: these lines instead of the profile's; none for the profile's.
        once: one device on each line that is there at the beginning.
        devices: end after so many; None for no such limit.
    """

    lines: tuple[str, ...] = ()
    once: bool = True
    devices: int | None = None


class Station:
    """A run of a profile.

    Args:
        profile: what is done.
        ledger: where it is written down; stays open.
        directory: where the station keeps what is under way; one station at a time.
        events: who is told.
        opener: opens lines.
        server: the EST server, where the profile's mode needs one.
        name: of the station, in the ledger.
        operator: who is at it.
        limits: how much of it.

    Attributes:
        server: the EST server; whoever gave it closes it.
    """

    def __init__(  # noqa: PLR0913  # what a station is made of
        self,
        profile: Profile,
        *,
        ledger: Ledger,
        directory: Path,
        events: EventStream,
        opener: Opener,
        server: RelayServer | None,
        name: str,
        operator: str,
        limits: Limits,
    ) -> None:
        self._profile, self._ledger, self._directory, self._events = profile, ledger, directory, events
        self._opener, self.server, self._name, self._operator = opener, server, name, operator
        self._limits = limits
        self._workers: dict[str, LineWorker] = {}
        self._reason = "done"
        self._asked = 0
        self._slow = False
        self._desk: Desk | None = None

    def stop(self, reason: str = "interrupted") -> None:
        """Begin nothing new; the step that each device is in is finished. The second time: end that, too.

        From any thread, or from a signal's handler; that interrupts the main thread wherever it is, so there it is only noted.
        """
        self._reason = reason
        self._asked += 1
        if self._asked > 1:
            self._ledger.hurry()
        if threading.current_thread() is not threading.main_thread():
            self._heed()

    def _heed(self) -> None:
        desk, asked = self._desk, self._asked
        if desk is None or not asked:
            return
        desk.stop()
        if asked > 1:
            desk.cancel()

    def run(self) -> Tally:
        """Run until every device is done, or somebody stops it.

        A KeyboardInterrupt that comes meanwhile is a `stop`, and is raised again when everything is at its end.

        Raises:
            LineError: no line is there.
            StateBusyError: another station works in this directory.
            StateError: the directory cannot be used, or written any more.
            LedgerError: the ledger cannot be written.
            ConfigurationError: a run that was broken off here stands in another ledger.
            DeviceSdkError: what else keeps a station from working, such as anchors that cannot be read.
        """
        kept = Kept(self._directory)
        with DirectoryLock(self._directory / "lock").hold(0):
            self._check_lines()
            run, resumed = self._which_run()
            desk = self._desk = Desk(
                profile=self._profile,
                ledger=self._ledger,
                kept=kept,
                events=self._events,
                open=self._opener,
                server=self.server,
                run=run.run,
                station=self._name,
                operator=self._operator,
                allowed=self._profile.allowed(),
                devices=self._limits.devices,
            )
            if self._profile.mode != "configure":
                desk.trust()  # what cannot be read, or not be reached, is better said before the first device
            with noted_interrupts(self.stop) as interrupts:
                self._begin(desk, resumed=resumed)
                tally = self._to_the_end(desk, run)
            if interrupts:
                raise KeyboardInterrupt
            return tally

    def _check_lines(self) -> None:
        if not self._limits.once:
            return
        table = self._profile.lines
        named = self._limits.lines or table.urls
        missing = [line for line in named if signature(line) is None]
        if missing or not self._lines():
            looked_for = missing or table.globs
            raise LineError(
                "no line is there: " + (", ".join(looked_for) or "the profile names none"),
                hint="plug the adapter in, look at [lines] of the profile, or give --lines",
            )

    def _lines(self) -> Sequence[str]:
        table = self._profile.lines
        return present(self._limits.lines, ()) if self._limits.lines else present(table.urls, table.globs)

    def _which_run(self) -> tuple[UnderWay, bool]:
        """The run, and whether it is one that was killed or stopped and goes on."""
        profile = self._profile
        asked = UnderWay(
            f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}",
            self._name,
            f"{profile.name} {profile.version} {profile.mode}",
            self._ledger.id,
            self._limits.devices,
        )
        found = under_way.load(self._directory)
        resumed = found is not None and found.goes_on_as(asked)
        if found is not None and resumed:
            self._ledger.release_all(found.station, found.run)
            asked = replace(asked, run=found.run)
        under_way.begin(self._directory, asked)
        return asked, resumed

    def _begin(self, desk: Desk, *, resumed: bool) -> None:
        profile = self._profile
        facts = desk.about | {"station": self._name, "steps": list(profile.plan)}
        tally = desk.tally
        if resumed:
            tally.restore(self._ledger, desk.run, profile)
        if desk.complete:
            desk.stop()  # it was killed after the last one
        self._ledger.append("run-started", run=desk.run, outcome="resumed" if resumed else None, facts=facts)
        self._events.emit(
            RunStarted(
                run=desk.run,
                station=self._name,
                profile=profile.name,
                version=profile.version,
                mode=profile.mode,
                steps=profile.plan,
                devices=self._limits.devices,
                provisioned=tally.provisioned,
                failed=tally.failed,
                known=tally.known,
            )
        )
        if resumed:
            had = f" with {tally.ended} of {desk.devices} devices" if desk.devices is not None else ""
            self._events.emit(Note(words=f"run {desk.run} was broken off, and goes on{had}"))

    def _to_the_end(self, desk: Desk, run: UnderWay) -> Tally:
        begun = time.monotonic()
        try:
            self._start_workers(desk)
        except Exception as error:  # noqa: BLE001  # raised again when the devices that are under way are let go
            desk.fail(error)
        self._wait_for_workers(desk)
        elapsed_s = round(time.monotonic() - begun, 3)
        fault, tally = desk.fault, desk.tally
        reason = str(fault) if fault is not None else self._reason
        numbers = {"provisioned": tally.provisioned, "failed": tally.failed, "known": tally.known}
        try:
            if fault is None:
                self._ledger.release_all(self._name, desk.run)  # whatever a worker did not give back itself
            self._ledger.append(
                "run-ended", run=desk.run, outcome=reason[:200], facts=numbers | {"elapsed_s": elapsed_s}
            )
            if fault is None:
                self._leave(desk, run)
        except LedgerError as error:  # the next run writes down that this one was broken off
            fault = fault or error
        self._events.emit(
            RunEnded(
                run=desk.run,
                provisioned=tally.provisioned,
                failed=tally.failed,
                known=tally.known,
                elapsed_s=elapsed_s,
                reason=reason,
            )
        )
        if fault is not None:
            raise fault
        return tally

    def _leave(self, desk: Desk, run: UnderWay) -> None:
        """A run that was to have so many devices, and was stopped before, may go on; every other is over."""
        if desk.devices is None or desk.complete:
            under_way.end(self._directory)
            return
        under_way.stop(self._directory, run)
        words = (
            f"{desk.devices - desk.tally.ended} of {desk.devices} devices are left: the same command goes on with them"
        )
        self._events.emit(Note(words=words))

    def _start_workers(self, desk: Desk) -> None:
        """Returns when every line has ended, or the run is being stopped."""
        renewed, looked = time.monotonic(), 0.0
        first = True
        self._heed()
        while not desk.stopping.is_set():
            now = time.monotonic()
            if first or (not self._limits.once and now - looked >= self._profile.lines.poll_s):
                first, looked = False, now
                for line in self._lines():
                    if line not in self._workers or self._workers[line].ended.is_set():
                        worker = LineWorker(desk, line, once=self._limits.once)
                        worker.start()
                        self._workers[line] = worker
            if self._limits.once and all(one.ended.is_set() for one in self._workers.values()):
                return
            renewed = self._renew(desk, renewed)
            self._tell_of_the_ledger()
            desk.pause(_TICK_S)
            self._heed()

    def _wait_for_workers(self, desk: Desk) -> None:
        renewed = time.monotonic()
        for worker in tuple(self._workers.values()):
            while not worker.ended.wait(_TICK_S):
                self._heed()
                self._tell_of_the_ledger()
                renewed = self._renew(desk, renewed)

    def _tell_of_the_ledger(self) -> None:
        """Everything stands still while it does not come."""
        slow = self._ledger.waited_s > _SLOW_S
        if slow and not self._slow:
            words = "waiting for the ledger: its database does not answer, or another process keeps it for itself"
            self._events.emit(Note(words=words))
        self._slow = slow

    def _renew(self, desk: Desk, renewed: float) -> float:
        now = time.monotonic()
        if now - renewed < self._profile.limits.claim_s / 3:
            return renewed
        try:
            desk.renew_claims()
        except LedgerError as error:
            desk.fail(error)
        return now
