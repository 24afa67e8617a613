"""One line: wait for a device, take it through its steps, wait for the next one."""

from __future__ import annotations

import threading
import time

from device_sdk.client.bench import DeviceFacts
from device_sdk.errors import BenchError, BootLoaderMissedError, DeviceSdkError, LineSilentError, LoginRefusedError
from device_sdk.station.run.desk import Desk, about_error
from device_sdk.station.run.events import DeviceFailed, LineEnded, LineFound, LineLost, Note, Retrying, Waiting
from device_sdk.station.run.failures import StoppedError, ends_the_run, may_pass, say_first
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

    Attributes:
        ended: set at the very end of the thread. It is this that is waited for: a signal in `Thread.join` makes Python 3.11
            and 3.12 believe that a thread has ended that has not (CPython issue 90882).
    """

    def __init__(self, desk: Desk, line: str, *, once: bool) -> None:
        super().__init__(name=f"line {line}", daemon=True)
        self._desk, self.line, self._once = desk, line, once
        self._limits, self._lines = desk.profile.limits, desk.profile.lines
        self._last: str | None = None
        self._quiet = self._refused = self._missed = False
        self._vain = 0  # how often somebody was asked who he is, and something else came than that
        self.ended = threading.Event()

    def run(self) -> None:
        """The thread: never raises; what ends the run is told to the desk."""
        try:
            self._desk.events.emit(LineFound(line=self.line))
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
            self.ended.set()

    def _take_one(self) -> None:
        """A device from its first word to its end; returns, too, when nobody answers for long."""
        taking: Taking | None = None
        tries = Tries(self._limits)
        while True:
            self._desk.check_stop()
            try:
                with self._desk.room(), self._desk.opened(self.line, stranger=taking is None) as session:
                    facts = self._facts(session)
                    self._desk.met(self.line)
                    if taking is None:
                        taking = Taking(self._desk, self.line, facts)
                        self._last, self._quiet, self._missed = facts.serial_number, False, False
                        taking.begin()
                    else:
                        taking.go_on(facts)
                    return taking.through(session)
            except StoppedError:
                self._let_go(taking)
                raise
            except DeviceSdkError as error:
                if self._is_over(error, taking, tries):
                    return None

    def _facts(self, session: Session, taking: Taking | None = None) -> DeviceFacts:
        limit_s = self._limits.of(Step.IDENTIFY)
        if taking is not None:
            limit_s = max(0.1, min(limit_s, taking.left_s))
        with session.within(Step.IDENTIFY, limit_s):
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
        passes = may_pass(error)
        wait_s = tries.again(taking.step if taking else None, error) if passes else None
        if wait_s is None or (taking is not None and taking.left_s <= 0):
            say_first(error, tries.first if passes else None)
            if taking is not None:
                self._leave_alone(error)
                self._missed = isinstance(error, BootLoaderMissedError)
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
        if taking is not None or not self._desk.profile.talk.uboot or not isinstance(error, LineSilentError):
            self._desk.pause(wait_s)
        # a cable that is out does not use up the attempts, but the device's time
        end = time.monotonic() + (taking.left_s if taking is not None else self._limits.of(Step.OPEN))
        while signature(self.line) is None and time.monotonic() < end and not self._desk.stopping.is_set():
            self._desk.pause(self._lines.poll_s)

    def _nobody(self, error: DeviceSdkError, *, another: bool = True) -> None:
        """The line is given up without a device; while it stays as it is that is told once.

        Args:
            error: why.
            another: whether it is surely no device that was done here; otherwise a console that is locked by now is no failure.
        """
        self._last = None
        refused = self._leave_alone(error)
        if self._quiet:
            return
        self._quiet = True
        said = {"baud": self._lines.baud, "way": self._desk.profile.talk.way}
        if (isinstance(error, LineSilentError) and not self._once) or (refused and not another):
            self._noted(error, said)
            return
        self._desk.refused(self.line, Step.OPEN, error, said)
        self._desk.events.emit(
            DeviceFailed(
                line=self.line,
                serial_number=None,
                step=Step.OPEN,
                code=error.code,
                reason=str(error),
                excerpt=getattr(error, "excerpt", None),
                counted=self._desk.count("failed", self.line, None),
            )
        )

    def _leave_alone(self, error: DeviceSdkError) -> bool:
        """A password that was refused is not tried again on the same line: it would lock the account, or get to whoever is there."""
        if isinstance(error, LoginRefusedError):
            self._refused = True
            return True
        return False

    def _noted(self, error: DeviceSdkError, said: dict[str, object]) -> None:
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
        self._wait_for("another device")
        while True:
            until = asked + self._lines.ask_s - time.monotonic()
            facts = self._listened(max(self._lines.poll_s, until), absent=absent)
            self._desk.check_stop()
            now = signature(self.line)
            if now is None:
                self._desk.events.emit(LineLost(line=self.line))
                return False
            if self._is_another(before, now):
                return True
            if facts is None and not self._refused and time.monotonic() - asked >= self._lines.ask_s:
                facts, asked = self._ask(absent=absent), time.monotonic()
                absent = absent or facts is None
            if facts is not None and (absent or self._is_new(facts)):
                return True

    def _listened(self, seconds: float, *, absent: bool) -> DeviceFacts | None:
        """Until it is time to ask again. Where a boot loader is to be met, its countdown is waited for, and somebody there asked at once."""
        if not self._desk.profile.talk.uboot or self._refused:
            self._desk.pause(self._lines.poll_s)
            return None
        counts_down = False
        try:
            with self._desk.opened(self.line, stranger=True) as session:
                counts_down = session.device.wait_for_boot(seconds)
                if counts_down:
                    with self._desk.room():
                        return self._facts(session)
        except BenchError as error:
            self._desk.check_stop()
            if counts_down:
                self._in_vain(error, absent=absent)
            self._desk.pause(self._lines.poll_s)
        return None

    def _is_new(self, facts: DeviceFacts) -> bool:
        """Whether it is another device than the last one, or that one was started anew because its boot loader had been missed."""
        return facts.serial_number != self._last or (self._missed and facts.boot_loader is not None)

    def _is_another(self, before: Signature | None, now: Signature) -> bool:
        if before == now:
            return False
        self._quiet = self._refused = False
        self._vain = 0
        return True

    def _wait_for(self, whom: str) -> None:
        why = "a refused password is not tried again: pull the adapter, or start the station again, for "
        self._desk.events.emit(Waiting(line=self.line, reason=(why if self._refused else "for ") + whom))

    def _ask(self, *, absent: bool) -> DeviceFacts | None:
        """What whoever is there now says, if anybody answers."""
        try:
            with self._desk.room(), self._desk.opened(self.line, stranger=True) as session:
                facts = self._facts(session)
        except BenchError as error:
            self._desk.check_stop()  # which is why
            self._in_vain(error, absent=absent)
            return None
        self._vain = 0
        return facts

    def _in_vain(self, error: BenchError, *, absent: bool) -> None:
        """Somebody is there, perhaps, and cannot be taken: that is told as it is of the first device on a line."""
        if isinstance(error, LineSilentError) and not error.excerpt:
            self._vain, self._quiet = 0, False  # nothing came: nobody is there, and whoever comes next is another one
            return
        self._vain += 1
        if not may_pass(error) or self._vain > self._limits.retries:
            self._nobody(error, another=absent)
            if self._refused:
                self._wait_for("another device")
