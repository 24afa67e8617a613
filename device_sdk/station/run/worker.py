"""One line: wait for a device, take it through its steps, wait for the next one."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from device_sdk.client.bench import DeviceFacts
from device_sdk.errors import BenchError, DeviceSdkError, LineError, LineSilentError
from device_sdk.station.run.desk import Desk, about_error
from device_sdk.station.run.events import DeviceFailed, LineEnded, LineFound, LineLost, Note, Retrying, Waiting
from device_sdk.station.run.failures import StoppedError, ends_the_run, may_pass
from device_sdk.station.run.lines import Signature, signature
from device_sdk.station.run.session import Session
from device_sdk.station.run.states import Step
from device_sdk.station.run.taking import Taking
from device_sdk.station.run.tries import Tries


class LineWorker(threading.Thread):
    """A thread for one line.

    Args:
        desk: what the run has.
        line: its name.
        once: end after one device; otherwise go on until the run is stopped.
    """

    def __init__(self, desk: Desk, line: str, *, once: bool) -> None:
        super().__init__(name=f"line {line}", daemon=True)
        self._desk, self.line, self._once = desk, line, once
        self._limits, self._lines = desk.profile.limits, desk.profile.lines
        self._last: str | None = None
        self._quiet = self._refused = False

    def run(self) -> None:
        """The thread: never raises; what ends the run is told to the desk."""
        self._desk.events.emit(LineFound(line=self.line))
        try:
            while True:
                self._take_one()
                if self._once or not self._another():
                    break
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001  # nobody waits for this thread's exception
            self._desk.fail(error)
        finally:
            self._desk.events.emit(LineEnded(line=self.line))

    def _take_one(self) -> None:
        """A device from its first word to its end; returns, too, when nobody answers for long."""
        taking: Taking | None = None
        tries = Tries(self._limits)
        while True:
            self._desk.check_stop()
            try:
                with self._desk.room(), self._desk.opened(self.line) as session:
                    facts = self._facts(session)
                    if taking is None:
                        taking = Taking(self._desk, self.line, facts)
                        self._last, self._quiet = facts.serial_number, False
                        if not taking.begin():
                            return None
                    else:
                        taking.go_on(facts)
                    return taking.through(session)
            except StoppedError:
                self._let_go(taking)
                raise
            except DeviceSdkError as error:
                if self._is_over(error, taking, tries):
                    return None

    def _facts(self, session: Session) -> DeviceFacts:
        with session.within(Step.IDENTIFY, self._limits.of(Step.IDENTIFY)):
            return session.device.facts()

    def _let_go(self, taking: Taking | None) -> None:
        if taking is not None:
            taking.released()

    def _is_over(self, error: DeviceSdkError, taking: Taking | None, tries: Tries) -> bool:
        """Whether this failure is the end; otherwise waits until the next attempt is due.

        Raises:
            StoppedError: the run is being stopped, and that is why.
            DeviceSdkError: the station itself cannot go on.
        """
        if ends_the_run(error):
            if taking is not None:
                taking.abandon()
            raise error
        if self._desk.stopping.is_set():
            self._let_go(taking)
            raise StoppedError
        wait_s = tries.again(taking.step if taking else None) if may_pass(error) else None
        if wait_s is None or (taking is not None and taking.left_s <= 0):
            if taking is not None:
                taking.failed(error)
            else:
                self._nobody(error)
            return True
        self._wait(error, taking, wait_s, tries.number)
        return False

    def _wait(self, error: DeviceSdkError, taking: Taking | None, wait_s: float, attempt: int) -> None:
        if not self._quiet:
            self._desk.events.emit(
                Retrying(
                    line=self.line,
                    serial_number=taking.serial_number if taking else None,
                    step=taking.step if taking else Step.OPEN,
                    attempt=attempt,
                    wait_s=wait_s,
                    reason=str(error),
                )
            )
        self._desk.pause(wait_s)
        # a cable that is out does not use up the attempts, but the device's time
        end = time.monotonic() + (taking.left_s if taking is not None else self._limits.of(Step.OPEN))
        while signature(self.line) is None and time.monotonic() < end and not self._desk.stopping.is_set():
            self._desk.pause(self._lines.poll_s)

    def _nobody(self, error: DeviceSdkError) -> None:
        """The line is given up without a device; while it stays as it is that is told once."""
        self._last = None
        if self._quiet:
            return
        self._quiet = True
        said = {"baud": self._lines.baud, "way": self._desk.profile.talk.way}
        if isinstance(error, LineSilentError) and not self._once:
            self._silent(error, said)
            return
        self._desk.refused(self.line, Step.OPEN, error, said)
        excerpt = getattr(error, "excerpt", None)
        self._desk.events.emit(
            DeviceFailed(
                line=self.line, serial_number=None, step=Step.OPEN, code=error.code, reason=str(error), excerpt=excerpt
            )
        )
        self._desk.count("failed")
        # a password that was refused is not tried again on the same line: it would lock the account
        self._refused = not isinstance(error, LineError)

    def _silent(self, error: LineSilentError, said: dict[str, object]) -> None:
        """A station that watches has lines without a device: that is no failure, but may be the wrong rate."""
        desk = self._desk
        facts = desk.about | about_error(error) | said
        desk.ledger.append("note", line=self.line, run=desk.run, step=Step.OPEN, outcome=error.code, facts=facts)
        desk.events.emit(Note(words=str(error), line=self.line))

    def _another(self) -> bool:
        """Wait for another device on this line; False if the line is gone.

        Raises:
            StoppedError: the run is being stopped.
        """
        before, asked, absent = signature(self.line), time.monotonic(), False
        self._desk.events.emit(Waiting(line=self.line, reason="for another device"))
        while True:
            self._desk.pause(self._lines.poll_s)
            self._desk.check_stop()
            now = signature(self.line)
            if now is None:
                self._desk.events.emit(LineLost(line=self.line))
                return False
            if self._is_another(before, now):
                return True
            if not self._refused and time.monotonic() - asked >= self._lines.ask_s:
                who, asked = self._ask(), time.monotonic()
                if who is not None and (absent or who != self._last):
                    return True
                absent = absent or who is None

    def _is_another(self, before: Signature | None, now: Signature) -> bool:
        if before == now:
            return False
        self._quiet = self._refused = False
        return True

    def _ask(self) -> str | None:
        """The serial number of whoever is there now, if anybody answers."""
        with suppress(BenchError), self._desk.room(), self._desk.opened(self.line) as session:
            return self._facts(session).serial_number
        return None
