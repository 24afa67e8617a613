"""One device, taken from its first word to a certificate it proved, or to a reason why not."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace

from cryptography.hazmat.primitives import hashes

from device_sdk.client.bench import DeviceFacts
from device_sdk.client.bench.same import check_boot, check_same
from device_sdk.errors import (
    ClaimLostError,
    DeviceProvisionedError,
    DeviceSaysError,
    DeviceSdkError,
    VerificationError,
    WrongDeviceError,
)
from device_sdk.station.ledger import UNPROVED, Claim
from device_sdk.station.run.boot import about_boot, compare_boot
from device_sdk.station.run.checks import check_facts, check_still
from device_sdk.station.run.desk import Desk, about_error
from device_sdk.station.run.events import (
    DeviceChanged,
    DeviceFailed,
    DeviceProvisioned,
    DeviceReleased,
    Note,
    StepEnded,
    StepStarted,
)
from device_sdk.station.run.failures import may_pass
from device_sdk.station.run.going_on import job_of
from device_sdk.station.run.session import Session
from device_sdk.station.run.states import STATE_AFTER, DeviceState, Step
from device_sdk.station.run.tally import KNOWN
from device_sdk.station.run.work import Work, proved

_FIRST = 3  # "open", "identify" and "claim" are not done by Work


class Taking:
    """A device on a line. Made when it has said who it is; ends with `through`, `failed` or `released`.

    Args:
        desk: what the run has.
        line: where it is.
        facts: what it says.

    Attributes:
        step: what is being done.
        done: how many of the profile's steps are.
    """

    def __init__(self, desk: Desk, line: str, facts: DeviceFacts) -> None:
        self._desk, self._line, self._facts = desk, line, facts
        self.serial_number = facts.serial_number
        self.step: str = Step.IDENTIFY
        self.done = 0
        self.attempt = 1
        self._begun = time.monotonic()
        self._in_hooks_s = 0.0
        self._claim: Claim | None = None
        self._refused = False
        self._provisioned: DeviceProvisionedError | None = None
        self._work: Work | None = None
        self._held = ExitStack()

    def begin(self) -> None:
        """Write down that it was seen, judge it, and claim it.

        Raises:
            WrongDeviceError: it is no device for this profile, or not the one it says.
            DeviceClaimedError: another station, or another line of this one, has it.
            DeviceProvisionedError: it is provisioned already, and the profile refuses those.
            BootLoaderMissedError: variables were to be set at its boot loader, which was not met.
            StateCorruptError: what is kept of it cannot be read.
            LedgerError: nothing can be written down.
        """
        desk, facts = self._desk, self._facts
        said = {
            "macs": list(facts.macs),
            "model": facts.model,
            "sdk_version": facts.sdk_version,
            "enrolled": facts.enrolled,
        } | about_boot(self._facts, self._desk.profile.talk)
        try:
            desk.ledger.append("seen", device=self.serial_number, line=self._line, run=desk.run, facts=said)
        except WrongDeviceError:  # not even a serial number: there is no device to write this down of
            self.serial_number = ascii(self.serial_number[:64])
            raise
        self._changed(DeviceState.SEEN)
        check_facts(facts, desk.profile.identity, desk.allowed)
        if differs := compare_boot(facts, desk.profile.talk):
            self._note(differs)
        self._changed(DeviceState.IDENTIFIED)
        self.step = Step.CLAIM
        kept = desk.kept.load(self.serial_number)
        job, note = job_of(kept, desk.profile, facts, self.serial_number)
        if note:
            self._note(note)
        done = desk.tally.done_before(self.serial_number)  # right before this run was broken off
        try:
            again, proved = job.again and not done, desk.profile.mode != "configure"
            self._claim = self._held.enter_context(desk.claimed(facts, self._line, again=again, proved=proved))
        except DeviceProvisionedError as error:
            if desk.profile.identity.known == "skip" or done:
                self.step = Step.PROVE
                self._provisioned = error
                return
            if desk.profile.identity.known == "refuse":
                raise
            job = replace(job, again=True)
            desk.kept.save(job)
            self._claim = self._held.enter_context(desk.claimed(facts, self._line, again=True))
        self._work = Work(desk, self._line, facts, job)
        self._changed(DeviceState.CLAIMED)
        check_boot(facts, desk.profile.talk.uboot_variables)

    def go_on(self, facts: DeviceFacts) -> None:
        """The line was opened again; raises WrongDeviceError if another device is on it."""
        check_still(self._facts, facts, self._desk.profile, self._desk.allowed)
        # what the ledger is told of it stays what it was claimed by
        self._facts = replace(facts, macs=self._facts.macs, model=self._facts.model)
        self.attempt += 1

    def through(self, session: Session) -> None:
        """All steps that are left; the device is provisioned when this returns.

        Raises:
            StoppedError: the run is being stopped.
            DeviceSdkError: a step failed.
        """
        if self._provisioned is not None:
            return self._known(session, self._provisioned)
        desk, work = self._desk, self._taken
        steps = desk.profile.plan[_FIRST:]
        for number, step in enumerate(steps, 1):
            desk.check_stop()
            self.step, self.done = step, number - 1
            if work.holds(step, self._facts):
                self._append(step, "kept", {})
                self._tell_end(step, "kept", 0.0)
            else:
                self._do(step, session)
            self._changed(STATE_AFTER.get(step) or self._hooked(step), number)
        self.step, self.done = "end", len(steps)
        self._look_again(session)
        facts = (
            desk.about
            | {"macs": list(self._facts.macs), "model": self._facts.model}
            | about_boot(self._facts, self._desk.profile.talk)
            | work.about
        )
        self._refused = True  # from here on the ledger writes down itself what it does not take
        sha256 = work.about.get("certificate_sha256")
        outcome = "done" if sha256 else UNPROVED
        desk.ledger.append(
            "provisioned", outcome=outcome, facts=facts | {"elapsed_s": self.elapsed_s}, claim=self._claim
        )
        desk.kept.forget(self.serial_number)
        self._let_go("done")
        desk.events.emit(
            DeviceProvisioned(
                line=self._line,
                serial_number=self.serial_number,
                elapsed_s=self.elapsed_s,
                certificate_sha256=str(sha256) if sha256 else None,
                counted=desk.count("provisioned", self._line, self.serial_number),
            )
        )

    def _look_again(self, session: Session) -> None:
        """Where something was done on the device after its proof, or there is none: it is still this device.

        Raises:
            WrongDeviceError: it is another one, or has another certificate.
        """
        profile = self._desk.profile
        if profile.mode != "configure" and not any(one.on == "device" for one in profile.steps.after):
            return
        with session.within(Step.IDENTIFY, profile.limits.of(Step.IDENTIFY)):
            facts = session.device.facts()
        check_still(self._facts, facts, profile, self._desk.allowed)
        proved_sha256 = self._taken.about.get("certificate_sha256")
        if proved_sha256 is not None and facts.enrolled != proved_sha256:
            raise WrongDeviceError(
                f"{self.serial_number} proved the certificate {str(proved_sha256)[:16]}..., and has another one, or none, at the end"
            )

    def _do(self, step: str, session: Session) -> None:
        desk, begun = self._desk, time.monotonic()
        hook = desk.profile.hook(step)
        limit_s = desk.profile.limit_s(step)
        if hook is None:
            limit_s = max(0.1, min(limit_s, self.left_s))
        self._append(step, "begun", {"attempt": self.attempt})
        desk.events.emit(
            StepStarted(
                line=self._line, serial_number=self.serial_number, step=step, attempt=self.attempt, limit_s=limit_s
            )
        )
        try:
            # a command on the device has its limit from the driver; this one is for a line on which nothing comes back
            with session.within(step, limit_s if hook is None else limit_s + 30):
                found = self._taken.do(step, session.device)
        except DeviceSdkError as error:
            self._append(step, "failed", about_error(error))
            self._tell_end(step, "failed", time.monotonic() - begun, str(error))
            raise
        finally:
            if hook is not None:
                self._in_hooks_s += time.monotonic() - begun
        elapsed_s = time.monotonic() - begun
        self._append(step, "done", found | {"elapsed_s": round(elapsed_s, 3)})
        self._tell_end(step, "done", elapsed_s)

    @property
    def left_s(self) -> float:
        """How much of the device's time is left; what commands took does not count."""
        return self._desk.profile.limits.device_s - (time.monotonic() - self._begun - self._in_hooks_s)

    @property
    def elapsed_s(self) -> float:
        """Since it was met."""
        return round(time.monotonic() - self._begun, 3)

    def failed(self, error: DeviceSdkError) -> None:
        """Give it up; raises LedgerError."""
        self._write_failure(error)
        self._desk.events.emit(
            DeviceFailed(
                line=self._line,
                serial_number=self.serial_number,
                step=self.step,
                code=error.code,
                reason=str(error),
                excerpt=getattr(error, "excerpt", None),
                elapsed_s=self.elapsed_s,
                counted=self._desk.count("failed", self._line, self.serial_number),
            )
        )

    def _write_failure(self, error: DeviceSdkError) -> None:
        desk = self._desk
        facts = desk.about | about_error(error) | {"step": self.step, "elapsed_s": self.elapsed_s}
        if self._claim is None:
            self._claim = self._claim_to_fail()
        try:
            if self._claim is None:
                raise ClaimLostError("there is no claim to write this down by")
            if not self._refused or isinstance(error, ClaimLostError):
                desk.ledger.append("failed", step=self.step, outcome=error.code, facts=facts, claim=self._claim)
            self._again_next_time(error)
            self._let_go("failed")
        except ClaimLostError:
            self._claim = None
            self._held.close()
            desk.refused(self._line, self.step, error, {"serial_number": self.serial_number})

    def _claim_to_fail(self) -> Claim | None:
        """A claim for the one entry that says why; None where the device is somebody else's, or provisioned, or has no name."""
        bare = replace(self._facts, macs=())
        try:
            return self._held.enter_context(self._desk.claimed(bare, self._line, again=False))
        except (WrongDeviceError, DeviceProvisionedError):
            return None

    def _again_next_time(self, error: DeviceSdkError) -> None:
        """What was asked for and came stays, so that no certificate is asked for twice; commands are run again.

        A device that could not prove what it has begins anew altogether.
        """
        if self._work is None:
            return
        if self.step == Step.PROVE and not may_pass(error):
            self._desk.kept.save(self._work.job.anew())
        elif self._work.job.done:
            self._desk.kept.save(replace(self._work.job, done=()))

    def released(self) -> None:
        """Let it go in the middle; the next run goes on with it. Raises LedgerError."""
        if self._claim is None:
            return
        self._let_go("interrupted")
        self._desk.events.emit(DeviceReleased(line=self._line, serial_number=self.serial_number, step=self.step))

    def abandon(self) -> None:
        """Nothing can be written down any more; the claim runs out by itself."""
        self._held.close()

    def _let_go(self, outcome: str) -> None:
        if self._claim is not None:
            self._desk.ledger.release(self._claim, outcome=outcome, facts={"step": self.step})
        self._claim = None
        self._held.close()

    def _known(self, session: Session, error: DeviceProvisionedError) -> None:
        """The ledger has it as provisioned: a serial number is no secret, so it proves that it is that device.

        Raises:
            WrongDeviceError: it does not.
        """
        desk = self._desk
        try:
            with session.within(Step.PROVE, desk.profile.limit_s(Step.PROVE)):
                words = self._proves(session)
        except (DeviceSaysError, WrongDeviceError, VerificationError) as wrong:
            raise WrongDeviceError(
                f"{error.message}, and this device does not prove that it is that one: {wrong.message}",
                hint='two devices with one serial number, or one that was reset? known = "again" provisions it anew',
                serial_number=self.serial_number,
            ) from wrong
        desk.kept.forget(self.serial_number)  # a station that was killed right after the last entry
        self._note(f"{error.message}; {words}", KNOWN)
        desk.events.emit(
            DeviceProvisioned(
                line=self._line,
                serial_number=self.serial_number,
                elapsed_s=self.elapsed_s,
                known=True,
                counted=desk.count(KNOWN, self._line, self.serial_number),
            )
        )

    def _proves(self, session: Session) -> str:
        """What speaks for it, in words."""
        desk, facts = self._desk, self._facts
        record = desk.ledger.device(self.serial_number)
        if desk.profile.mode == "configure":  # there is no certificate
            macs = record.facts.get("macs") if record is not None else None
            check_same(replace(facts, macs=tuple(map(str, macs)) if isinstance(macs, list) else ()), facts)
            return "it has its MAC addresses, which is no proof"
        certificate, _ = proved(desk, session.device, facts)
        sha256 = certificate.fingerprint(hashes.SHA256()).hex()
        same = record is not None and record.facts.get("certificate_sha256") == sha256
        return "it proved its certificate" if same else f"it proved a later certificate, {sha256}"

    def _note(self, words: str, outcome: str | None = None) -> None:
        desk = self._desk
        desk.ledger.append(
            "note", device=self.serial_number, line=self._line, run=desk.run, outcome=outcome, facts={"note": words}
        )
        desk.events.emit(Note(words=words, line=self._line, serial_number=self.serial_number))

    @property
    def _taken(self) -> Work:
        if self._work is None:
            raise RuntimeError("a device is claimed before anything is done to it")
        return self._work

    def _append(self, step: str, outcome: str, facts: dict[str, object]) -> None:
        self._desk.ledger.append("step", step=step, outcome=outcome, facts=facts, claim=self._claim)

    def _tell_end(self, step: str, outcome: str, elapsed_s: float, words: str | None = None) -> None:
        self._desk.events.emit(
            StepEnded(
                line=self._line,
                serial_number=self.serial_number,
                step=step,
                outcome=outcome,
                elapsed_s=elapsed_s,
                words=words,
            )
        )

    def _hooked(self, step: str) -> DeviceState:
        return DeviceState.SELF_TESTED if step.startswith("after:") else DeviceState.CLAIMED

    def _changed(self, state: DeviceState, done: int = 0) -> None:
        self._desk.events.emit(
            DeviceChanged(
                line=self._line,
                serial_number=self.serial_number,
                state=state,
                done=done and done + _FIRST,
                attempt=self.attempt,
            )
        )
