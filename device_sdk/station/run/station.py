"""The station: finds lines, gives each a worker, and brings the run to its end, whatever ends it."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from device_sdk.errors import LedgerError, LineError, StateCorruptError
from device_sdk.state import files
from device_sdk.state.lock import DirectoryLock
from device_sdk.station.ledger import Ledger
from device_sdk.station.profile import Profile
from device_sdk.station.run.desk import Desk, Tally
from device_sdk.station.run.events import EventStream, Note, RunEnded, RunStarted
from device_sdk.station.run.kept import Kept
from device_sdk.station.run.lines import present
from device_sdk.station.run.relay import RelayServer
from device_sdk.station.run.session import Opener
from device_sdk.station.run.worker import LineWorker

_TICK_S = 0.2
_FILE = "run.json"


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
        self._desk: Desk | None = None

    def stop(self, reason: str = "interrupted") -> None:
        """Begin nothing new; the step that each device is in is finished. The second time: end that, too.

        From any thread, or from a signal's handler; that interrupts the main thread wherever it is, so there it is only noted.
        """
        self._reason = reason
        self._asked += 1
        if threading.current_thread() is not threading.main_thread():
            self._heed()

    def _heed(self) -> None:
        desk, asked = self._desk, self._asked
        if desk is None or not asked:
            return
        desk.stopping.set()
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
            DeviceSdkError: what else keeps a station from working, such as anchors that cannot be read.
        """
        kept = Kept(self._directory)
        with DirectoryLock(self._directory / "lock").hold(0):
            self._check_lines()
            run, resumed = self._run_name()
            desk = self._desk = Desk(
                profile=self._profile,
                ledger=self._ledger,
                kept=kept,
                events=self._events,
                open=self._opener,
                server=self.server,
                run=run,
                station=self._name,
                operator=self._operator,
                allowed=self._profile.allowed(),
                devices=self._limits.devices,
            )
            if self._profile.mode != "configure":
                desk.trust()  # what cannot be read, or not be reached, is better said before the first device
            self._begin(desk, resumed=resumed)
            return self._to_the_end(desk)

    def _check_lines(self) -> None:
        if self._limits.once and not self._lines():
            raise LineError(
                "no line is there: " + (", ".join(self._profile.lines.globs) or "the profile names none"),
                hint="plug the adapter in, look at [lines] of the profile, or give --lines",
            )

    def _lines(self) -> Sequence[str]:
        table = self._profile.lines
        return present(self._limits.lines, ()) if self._limits.lines else present(table.urls, table.globs)

    def _run_name(self) -> tuple[str, bool]:
        """The name of the run, and whether it is that of one that was killed."""
        path = self._directory / _FILE
        data = files.read(path)
        if data is not None:
            try:
                found = json.loads(data)
                run, station = str(found["run"]), str(found["station"])
            except (ValueError, KeyError, TypeError) as error:
                raise StateCorruptError(f"{path}: cannot be read", hint="remove it", path=str(path)) from error
            self._ledger.release_all(station, run)
            return run, True
        run = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
        files.write(path, json.dumps({"run": run, "station": self._name}).encode())
        return run, False

    def _begin(self, desk: Desk, *, resumed: bool) -> None:
        profile = self._profile
        facts = desk.about | {"station": self._name, "steps": list(profile.plan)}
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
            )
        )
        if resumed:
            self._events.emit(Note(words=f"run {desk.run} was broken off, and goes on"))

    def _to_the_end(self, desk: Desk) -> Tally:
        begun = time.monotonic()
        interrupted = self._watch(desk)
        elapsed_s = round(time.monotonic() - begun, 3)
        fault, tally = desk.fault, desk.tally
        reason = str(fault) if fault is not None else self._reason
        numbers = {"provisioned": tally.provisioned, "failed": tally.failed, "known": tally.known}
        try:
            self._ledger.append(
                "run-ended", run=desk.run, outcome=reason[:200], facts=numbers | {"elapsed_s": elapsed_s}
            )
            if fault is None:
                files.remove(self._directory / _FILE)
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
        if interrupted:
            raise KeyboardInterrupt
        return tally

    def _watch(self, desk: Desk) -> bool:
        """Start workers until the run is stopped, and wait for them all; whether it was Ctrl-C."""
        interrupted = False
        while True:
            try:
                if not desk.stopping.is_set():
                    self._start_workers(desk)
                self._wait_for_workers(desk)
                return interrupted
            except KeyboardInterrupt:
                interrupted = True
                self.stop()
                self._heed()

    def _start_workers(self, desk: Desk) -> None:
        """Returns when every line has ended, or the run is being stopped."""
        renewed, looked = time.monotonic(), 0.0
        first = not self._workers
        while not desk.stopping.is_set():
            now = time.monotonic()
            if first or (not self._limits.once and now - looked >= self._profile.lines.poll_s):
                first, looked = False, now
                for line in self._lines():
                    if line not in self._workers or not self._workers[line].is_alive():
                        self._workers[line] = LineWorker(desk, line, once=self._limits.once)
                        self._workers[line].start()
            if self._limits.once and not any(one.is_alive() for one in self._workers.values()):
                return
            renewed = self._renew(desk, renewed)
            desk.pause(_TICK_S)
            self._heed()

    def _wait_for_workers(self, desk: Desk) -> None:
        renewed = time.monotonic()
        for worker in tuple(self._workers.values()):
            while worker.is_alive():
                worker.join(_TICK_S)
                self._heed()
                renewed = self._renew(desk, renewed)

    def _renew(self, desk: Desk, renewed: float) -> float:
        now = time.monotonic()
        if now - renewed < self._profile.limits.claim_s / 3:
            return renewed
        try:
            desk.renew_claims()
        except LedgerError as error:
            desk.fail(error)
        return now
