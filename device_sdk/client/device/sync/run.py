"""One run: ask for the package list, and do what it asks for (RFC 8295 section 2; P-15)."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property

from cryptography import x509

from device_sdk.client.device.clock import check_clock
from device_sdk.client.device.context import Context
from device_sdk.client.device.current import enrolled
from device_sdk.client.device.finish import is_switched
from device_sdk.client.device.key_establishment import certificate_of
from device_sdk.client.device.plan import RenewalPlan
from device_sdk.client.device.renew import Renewal
from device_sdk.client.device.sync.deliveries import Deliveries
from device_sdk.client.device.sync.keep import Keeper
from device_sdk.client.device.sync.packages import PackageKeeper
from device_sdk.client.device.sync.progress import Progress
from device_sdk.client.device.sync.report import StepResult, StepState, SyncReport, Told
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.tasks import Assignment, Task, assignment
from device_sdk.errors import DeviceSdkError, EnrolmentPendingError, TransportTimeoutError
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
            steps = []
            for step in planned.steps:
                found = self._assignment(step, certificate, endpoint)
                steps.append(StepResult(step.entry, step, found.state, found.detail))
        return SyncReport(_numbered((*steps, *_not_followed(planned))), notes=session.notes)

    def run(self) -> SyncReport:
        """Do it; see Device.sync."""
        self._until = self.context.clock.monotonic() + self.limit_s
        self._certificate()
        self._finish_renewal()
        certificate = self._certificate()
        with closing(self._session) as session:
            planned = session.list()
            endpoint = session.client.endpoint
            tasks = [self._assignment(step, certificate, endpoint) for step in planned.steps]
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
            steps += [self._tell(replace(one, number=len(steps) + n, total=total)) for n, one in enumerate(rest, 1)]
            delivery = replace(session.deliver(), sent=session.sent)
            if not self._late:
                progress.end()
        return SyncReport(tuple(steps), progress.resumed, (*session.notes, *notes), delivery)

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

    def _assignment(self, step: SyncStep, certificate: x509.Certificate, endpoint: EstEndpoint) -> Assignment:
        managed = self.context.state.managed.exists
        return assignment(
            step, certificate, endpoint, self.deliveries, managed=managed, second=certificate_of(self.context.state)
        )

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

    def _tell(self, result: StepResult) -> StepResult:
        if self.told:
            self.told(result)
        return result


def _not_followed(planned: SyncPlan) -> tuple[StepResult, ...]:
    return tuple(StepResult(entry, None, StepState.SKIPPED, reason) for entry, reason in planned.skipped)


def _numbered(steps: tuple[StepResult, ...]) -> tuple[StepResult, ...]:
    return tuple(replace(one, number=number, total=len(steps)) for number, one in enumerate(steps, 1))
