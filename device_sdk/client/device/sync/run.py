"""One run: ask for the package list, and do what it asks for (RFC 8295 section 2; P-15)."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property

from cryptography import x509

from device_sdk.client.device.clock import check_clock
from device_sdk.client.device.context import Context
from device_sdk.client.device.current import enrolled
from device_sdk.client.device.finish import finish, is_switched
from device_sdk.client.device.generated_keys import GeneratedKeys, held_keys
from device_sdk.client.device.key_establishment import certificate_of
from device_sdk.client.device.plan import RenewalPlan
from device_sdk.client.device.renew import Renewal
from device_sdk.client.device.sync.deliveries import Deliveries, unconfigured
from device_sdk.client.device.sync.keep import Keeper
from device_sdk.client.device.sync.packages import PackageKeeper
from device_sdk.client.device.sync.progress import Progress
from device_sdk.client.device.sync.report import StepResult, StepState, SyncReport, Told
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.tasks import Assignment, Task, assignment
from device_sdk.errors import DeviceSdkError, EnrolmentPendingError, StateError, TransportTimeoutError
from device_sdk.protocols.est.urls import EstEndpoint
from device_sdk.protocols.pal import SyncPlan, SyncStep
from device_sdk.state import Operation

LIMIT_S = 3600.0
"""After that no step is begun any more; the next run goes on."""
_FIRST_TIER = 1
_BLOCKED = "the CA certificates or revocation lists that it relies on could not be fetched"


@dataclass
class Sync:
    """One run for one device. `run` needs the state's lock, `look` does not.

    Attributes:
        context: the device.
        plan: how the server is reached, and what a renewal is to be like.
        told: told of each step, or None.
        deliveries: where packages go that change the device.
        limit_s: seconds after which no further step is begun.
    """

    context: Context
    plan: RenewalPlan
    told: Told | None = None
    deliveries: Deliveries = field(default_factory=Deliveries)
    limit_s: float = LIMIT_S
    _broken: bool = field(default=False, init=False)
    _late: bool = field(default=False, init=False)
    _until: float = field(default=math.inf, init=False)

    def look(self) -> SyncReport:
        """What would be done now; only the list is fetched."""
        certificate = self._certificate()
        with closing(self._session) as session:
            planned = session.list()
            endpoint = session.client.endpoint
            steps, held = [], self._held()
            for step in planned.steps:
                found = self._assignment(step, certificate, endpoint, held)
                steps.append(StepResult(step.entry, step, found.state, found.detail))
        return SyncReport(_numbered((*steps, *_not_followed(planned))), notes=(*session.notes, *self._due_by_age()))

    def run(self) -> SyncReport:
        """Do it; see Device.sync."""
        self._until = self.context.clock.monotonic() + self.limit_s
        self._certificate()
        self._finish_renewal()
        left = self._finish_second()
        certificate = self._certificate()
        with closing(self._session) as session:
            planned = session.list()
            endpoint = session.client.endpoint
            held = self._held()
            tasks = [self._assignment(step, certificate, endpoint, held) for step in planned.steps]
            current, _ = enrolled(self.context.state, self.context.state.load())
            progress = Progress(self.context, planned.steps, endpoint, current.certificate, anew=bool(session.notes))
            places = frozenset(f"{endpoint.origin}{step.target}" for step in planned.steps)
            packages = PackageKeeper(self.context, session, self.deliveries, places)
            keeper = Keeper(self.context, self.plan, session, packages, progress.renewed)
            if any(one.task for one in tasks):
                progress.begin()
            notes = packages.recover()
            rest, steps = _not_followed(planned), []
            total = len(tasks) + len(rest)
            for number, (step, found) in enumerate(zip(planned.steps, tasks, strict=True), 1):
                begun = StepResult(step.entry, step, found.state, found.detail, number=number, total=total)
                steps.append(self._tell(self._step(begun, step, found.task, keeper, progress) if found.task else begun))
                session.relieve()
            steps += [self._tell(replace(one, number=len(steps) + n, total=total)) for n, one in enumerate(rest, 1)]
            told, trouble = self._look_after_generated(keeper)
            delivery = replace(session.deliver(), sent=session.sent)
            if not self._late:
                progress.end()
        all_notes = (*session.notes, *left, *notes, *told)
        return SyncReport(tuple(steps), progress.resumed, all_notes, delivery, bool(notes) or trouble)

    def _step(self, begun: StepResult, step: SyncStep, task: Task, keeper: Keeper, progress: Progress) -> StepResult:
        if progress.has(step):
            return replace(begun, state=StepState.EARLIER, detail="by the run that was interrupted")
        if self._broken and step.kind.tier > _FIRST_TIER:
            return replace(begun, state=StepState.BLOCKED, detail=_BLOCKED)
        if self.context.clock.monotonic() >= self._until:
            return self._too_late(begun)
        self._tell(replace(begun, state=StepState.BEGUN))
        try:
            done = keeper.do(task, step)
        except EnrolmentPendingError as error:
            self._broken = self._broken or step.kind.tier == _FIRST_TIER
            return replace(begun, state=StepState.PENDING, detail=error.message, error=error)
        except DeviceSdkError as error:
            self._broken = self._broken or step.kind.tier == _FIRST_TIER
            # of many packages, which
            detail = error.message if step.target in error.message else f"{step.target}: {error.message}"
            return replace(begun, state=StepState.FAILED, detail=detail, error=error)
        if done.state is not StepState.PENDING:
            progress.note(step)
        return replace(begun, state=done.state, detail=done.detail, notes=done.notes)

    def _too_late(self, begun: StepResult) -> StepResult:
        self._late = True
        error = TransportTimeoutError(
            f"not begun: this run has taken {self.limit_s:g} s already; the next one goes on",
            hint="network or server are slow; look for the steps that took long, or give it more time (sync.limit_s)",
            timeout_s=self.limit_s,
            request_sent=False,
        )
        return replace(begun, state=StepState.FAILED, detail=error.message, error=error)

    def _held(self) -> tuple[x509.Certificate, ...]:
        """Certificates of keys that the server made; damage there is told where they are looked after."""
        with suppress(StateError):
            return tuple(one.certificate for one in held_keys(self.context.state))
        return ()

    def _assignment(
        self, step: SyncStep, certificate: x509.Certificate, endpoint: EstEndpoint, held: tuple[x509.Certificate, ...]
    ) -> Assignment:
        managed = self.context.state.managed.exists
        state = self.context.state
        found = assignment(
            step,
            certificate,
            endpoint,
            self.deliveries,
            managed=managed,
            second=certificate_of(state),
            generated=held,
        )
        return self._form_of(step) or found if found.task is Task.GENERATED else found

    def _form_of(self, step: SyncStep) -> Assignment | None:
        """Why a key is not taken in the form of an entry; what is wrong with the settings is told when it is asked for."""
        wishes = self.deliveries.generated
        with suppress(DeviceSdkError, OSError):
            why = unconfigured(step.entry.type, wishes()) if wishes else None
            return Assignment(None, StepState.UNCONFIGURED, why) if why else None
        return None

    def _due_by_age(self) -> tuple[str, ...]:
        """What would be renewed though no entry says so, in words."""
        with suppress(StateError):
            due = GeneratedKeys(self.context).due(self.context.clock.now())
            return (f"the certificate of {due.record.key_uri} is due, and would be renewed",) if due else ()
        return ()

    def _look_after_generated(self, keeper: Keeper) -> tuple[tuple[str, ...], bool]:
        """Renew what no entry named and is due by its age; what came of it in words, and whether it failed."""
        keys = GeneratedKeys(self.context)
        try:
            keys.settle()
            held = keys.due(self.context.clock.now())
            if held is None or self._broken or self._late:
                return (), False
            done = keeper.renew_generated(held)
        except EnrolmentPendingError as error:
            return (error.message,), False
        except DeviceSdkError as error:
            return (
                f"the certificate of a key that the server made is due, and was not renewed: {error.message}",
            ), True
        return (done.detail, *done.notes), False

    def _certificate(self) -> x509.Certificate:
        """The one in use, if the device is enrolled and the clock can be right."""
        context = self.context
        state = context.state.load()
        current, _ = enrolled(context.state, state)
        check_clock(context.clock.now(), state.time_floor)
        return context.state.chain(current.certificate)[0]

    @cached_property
    def _session(self) -> Session:
        return Session(self.context, self.plan)

    def _finish_renewal(self) -> None:
        """Clean up after a renewal that was interrupted behind its switch: its entry may be gone from the list."""
        context = self.context
        journal = context.state.journal()
        if journal and journal.operation is Operation.RENEW and is_switched(context, context.state.load(), journal):
            Renewal(context, self.plan).run()

    def _finish_second(self) -> tuple[str, ...]:
        """The same for the certificate for key establishment, whose entry is gone, too; says what a person should know."""
        context = self.context
        second = context.state.key_establishment
        beside = context.beside(second)
        try:
            journal = second.journal()
            if journal is None or not is_switched(beside, second.load(), journal):
                return ()
            with second.exclusive():
                return finish(beside, journal, None).notes
        except DeviceSdkError as error:
            return (f"{second.path}: what was interrupted is not finished: {error.message}",)

    def _tell(self, result: StepResult) -> StepResult:
        if self.told:
            self.told(result)
        return result


def _not_followed(planned: SyncPlan) -> tuple[StepResult, ...]:
    return tuple(StepResult(entry, None, StepState.SKIPPED, reason) for entry, reason in planned.skipped)


def _numbered(steps: tuple[StepResult, ...]) -> tuple[StepResult, ...]:
    return tuple(replace(one, number=number, total=len(steps)) for number, one in enumerate(steps, 1))
