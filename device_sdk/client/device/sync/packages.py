"""Packages that change the device: symmetric keys and firmware, and what the server wants to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.client.device.context import Context
from device_sdk.client.device.key_establishment import opening_keys
from device_sdk.client.device.sync.circumstances import circumstances_of, is_lasting, is_unverified
from device_sdk.client.device.sync.deliveries import Deliveries, FirmwareDelivery, KeyDelivery, unconfigured
from device_sdk.client.device.sync.outcome import Done, known
from device_sdk.client.device.sync.report import StepState
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.visit import Outgoing, Visit, put, settle
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.errors import (
    ConfigurationError,
    DeviceSdkError,
    FirmwareError,
    KeyNotFoundError,
)
from device_sdk.protocols.crls import kept_for
from device_sdk.protocols.est.returns import return_path
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.pal import SyncStep
from device_sdk.state import Refusal
from device_sdk.wire.cms.recipients import OpeningKey
from device_sdk.wire.firmware import LoadErrorCode

if TYPE_CHECKING:
    from device_sdk.client.firmware import RecordFile

MAX_AGAIN = 3
"""So often a receipt or error is sent again that the server had and asks for all the same."""
_RESTART = "not fetched before the device has restarted: what was installed last does not run yet"
_STALE = int(LoadErrorCode.STALE_PACKAGE)


@dataclass
class PackageKeeper:
    """Does the steps of types 0020 to 0037.

    Attributes:
        context: the device.
        session: the connection.
        deliveries: where things go.
        places: of everything that is on the list, origin and target.
    """

    context: Context
    session: Session
    deliveries: Deliveries
    places: frozenset[str] = field(default=frozenset())

    def recover(self) -> tuple[str, ...]:
        """Find out what became of what a power cut ended, so that its receipt is sent or goes; what does not work is told."""
        notes = []
        for part in (self._recover, self._recover_generated):
            try:
                part()
            except DeviceSdkError as error:
                notes.append(error.message)
        return tuple(notes)

    def _recover_generated(self) -> None:
        """A key that was being stored, and whose offer is not on the list any more, is finished like one whose offer is."""
        state = self.context.state
        begun = [one.event for one in state.processed.all() if one.result == "begun" and one.place not in self.places]
        if self.deliveries.generated is None or not any(begun):
            return
        from device_sdk.client.device.sync.generated_places import Places

        path = return_path(Operation.SERVERKEYGEN)
        places, held = Places(self.context, self.deliveries.generated()), {one.event for one in state.outbox.held(path)}
        if not held & set(begun) and not places.are_unfinished:
            return
        for event in filter(None, begun):
            settle(self.context, path, event, happened=places.look(event).finished is not None)

    def _recover(self) -> None:
        outbox, ledger = self.context.state.outbox, self.context.state.processed
        done = {record.event or record.sha256 for record in ledger.all() if record.result == "done"}
        for message in (*outbox.held("symmetrickeys/return"), *outbox.held("serverkeygen/return")):
            if message.event in done:
                outbox.release(message.id)
        if self.deliveries.firmware is None:
            return
        from device_sdk.client.firmware import RecordFile

        if not outbox.held("firmware/return") and not RecordFile(self.context.state.firmware_file).is_pending:
            return
        wishes = self.deliveries.firmware()
        returns = Outgoing(self.context)
        firmware = self.session.client.packages.returning(returns).firmware
        firmware.recover(wishes.installer, self._record(wishes))

    def signer_anchors(self) -> tuple[x509.Certificate, ...]:
        """To whom those lead who may sign keys, firmware and messages about trust anchors.

        Raises:
            DeviceSdkError: files that are configured cannot be read.
        """
        given, found = self.deliveries, list[x509.Certificate]()
        if given.keys is not None:
            found += given.keys().policy.anchors
        if given.generated is not None and (policy := given.generated().policy) is not None:
            found += policy.anchors
        if given.firmware is not None:
            found += given.firmware().rules.anchors
        return tuple(dict.fromkeys((*found, *self.context.state.managed.managers())))

    def keys(self, step: SyncStep) -> Done:
        """Fetch a package of symmetric keys, and store them (K-01 to K-12, KR-06)."""
        if self.deliveries.keys is None:  # not reached: such a step has no task
            raise ConfigurationError("nothing says where keys go")
        wishes, visit = self.deliveries.keys(), self._visit(step)
        if visit.is_known:
            return known(visit)
        packages = self.session.client.packages.returning(visit)
        with ExitStack() as opened:
            try:
                package = packages.symmetric_keys(
                    self._policy(wishes.policy),
                    step.target,
                    decrypt=self._openers(wishes, opened),
                    report=wishes.returns,
                    wanted=visit.wanted,
                    **self.session.waiting,
                )
            except DeviceSdkError:
                visit.refused()
                raise
        if package is None:
            return known(visit) if visit.came else Done("nothing is there")
        from device_sdk.client.device.sync.received_keys import ReceivedKeys

        return ReceivedKeys(self.context, packages, visit, wishes, package).store(return_path(self._operation(step)))

    def generated(self, step: SyncStep) -> Done:
        """Get a key that the server generates, and store it (A-01 to A-08, AR-01, B-01 to B-05): once for each offer."""
        if self.deliveries.generated is None:  # not reached: such a step has no task
            raise ConfigurationError("nothing says where a generated key goes")
        from device_sdk.client.device.sync.generated import GeneratedKey

        visit, wishes = self._visit(step), self.deliveries.generated()
        if (why := unconfigured(step.entry.type, wishes)) is not None:  # it may have changed since the run began
            return Done(why, state=StepState.UNCONFIGURED)
        if visit.before is not None and visit.before.result == "done":
            return known(visit)
        if wishes.policy is not None:
            wishes = replace(wishes, policy=self._policy(wishes.policy))
        return GeneratedKey(self.context, self.session, visit, wishes).take(step)

    def firmware(self, step: SyncStep) -> Done:
        """Fetch firmware, and install it (F-01 to F-13, FR-06)."""
        if self.deliveries.firmware is None:  # not reached: such a step has no task
            raise ConfigurationError("nothing says what takes firmware")
        wishes, visit = self.deliveries.firmware(), self._visit(step)
        if visit.is_known:
            return known(visit)
        circumstances = circumstances_of(self.context, wishes)
        if not wishes.again and (refusal := visit.still_refused(circumstances)) is not None:
            return _refused_before(refusal)
        if not wishes.installer.is_ready():
            return Done(_RESTART, state=StepState.PENDING)
        identity = self.session.identity
        with ExitStack() as opened:
            rules = replace(
                wishes.rules,
                keys=(*wishes.rules.keys, *self._openers(wishes, opened)),
                revocation_lists=(*wishes.rules.revocation_lists, *self._kept_for(wishes.rules.anchors)),
                list_issuers=(*wishes.rules.list_issuers, *self.session.list_issuers),
            )
            try:
                found = self.session.client.packages.returning(visit).firmware.install(
                    wishes.installer,
                    rules,
                    directory=wishes.directory,
                    record=self._record(wishes),
                    reporter=identity if wishes.returns else None,
                    target=step.target,
                    wanted=visit.wanted,
                    transferred=wishes.transferred,
                    **self.session.waiting,
                )
            except DeviceSdkError as error:
                lasting = circumstances if is_lasting(error) else ""
                visit.refused(error.message, lasting, unverified=is_unverified(error, wishes))
                if visit.was_refused and isinstance(error, FirmwareError) and error.load_error == _STALE:
                    return Done(f"refused before: {error.message}", state=StepState.SKIPPED)
                raise
        if found is None:
            return known(visit) if visit.came else Done("nothing is there")
        visit.done("the firmware is installed")
        name = found.attributes.name if found.attributes else "firmware that nobody signed"
        return Done(f"installed {name}, {found.size} bytes")

    def anchors(self, step: SyncStep) -> Done:
        """Fetch a message about trust anchors, do what it says, and answer it (T-01 to T-16, TR-01 to TR-05)."""
        from device_sdk.client.device.managing import AnchorManagement

        visit = self._visit(step)
        if visit.is_known:
            return known(visit)
        management = AnchorManagement(self.context, self.session, visit, visit.wanted)
        try:
            outcome = management.run(step.target)
        except DeviceSdkError:
            visit.refused()
            raise
        if outcome is None:
            return known(visit) if visit.came else Done("nothing is there")
        words, *parts = outcome.lines
        detail = "; ".join((words, *(part.strip() for part in parts)))
        return Done(detail, outcome.notes, StepState.FAILED if outcome.failed else StepState.DONE)

    def send_again(self, step: SyncStep) -> Done:
        """The server misses a receipt or an error (KR-06, FR-06): what it was told, once more.

        The list does not say which, so it may be any, or one of a package that this device never had; each is sent again
        until the server had it MAX_AGAIN times more; what never got there does not count.
        """
        state = self.context.state
        if not self._returns(self._operation(step)):
            return Done("receipts and errors are switched off", state=StepState.SKIPPED)
        path = return_path(self._operation(step))
        if any(one.path == path for one in state.outbox.pending()):
            return Done("what is waiting for it is sent at the end of this run")
        # of what is half done, a receipt would not be true
        settled = [one for one in state.processed.all() if one.returns and one.result != "begun"]
        told = [one for one in settled if one.returns[0].path == path]
        listed = [one for one in told if one.place in self.places] or told[-1:]
        if not any(one.returns for one in listed):
            return Done("nothing came that could be confirmed", state=StepState.SKIPPED)
        messages = [message for one in listed for message in one.returns if message.delivered <= MAX_AGAIN]
        if not messages:
            return Done(f"the server had all of it {MAX_AGAIN + 1} times", state=StepState.SKIPPED)
        for message in messages:
            put(self.context, message)
        return Done(f"sent again at the end of this run: {'; '.join(one.about for one in messages)}")

    def _returns(self, operation: Operation) -> bool:
        deliveries = self.deliveries
        if operation is Operation.TAMP:
            return True
        made = deliveries.of(operation)
        return made is not None and made().returns

    def _visit(self, step: SyncStep) -> Visit:
        return Visit(self.context, step, self.session.client.endpoint.origin, self.places)

    def _operation(self, step: SyncStep) -> Operation:
        return step.kind.operations[0]

    def _openers(self, wishes: KeyDelivery | FirmwareDelivery, opened: ExitStack) -> list[OpeningKey]:
        keys: list[OpeningKey] = [self.session.identity.key]
        for uri in opening_keys(self.context.state):
            with suppress(KeyNotFoundError):  # what it opened is lost; that is no reason not to open the rest
                keys.append(opened.enter_context(self.context.opening_key(uri)))  # type: ignore[arg-type]  # one of cryptography's
        for uri in wishes.open_with:
            keys.append(opened.enter_context(self.context.opening_key(uri)))  # type: ignore[arg-type]  # one of cryptography's
        return keys

    def _record(self, wishes: FirmwareDelivery) -> RecordFile:
        from device_sdk.client.firmware import RecordFile

        counter = self.context.counter(wishes.counter) if wishes.counter else None
        return RecordFile(self.context.state.firmware_file, counter)

    def _policy(self, policy: KeyPackagePolicy) -> KeyPackagePolicy:
        """With the kept lists."""
        return replace(
            policy,
            revocation_lists=(*policy.revocation_lists, *self._kept_for(policy.anchors)),
            list_issuers=(*policy.list_issuers, *self.session.list_issuers),
        )

    def _kept_for(self, anchors: Sequence[x509.Certificate]) -> tuple[x509.CertificateRevocationList, ...]:
        lists = (*self.session.lists, *self.session.signer_lists)
        return kept_for(lists, anchors=anchors, now=self.context.clock.now(), issuers=self.session.list_issuers)


def _refused_before(refusal: Refusal) -> Done:
    if not refusal.unverified:
        words = f"refused before, and not fetched again while nothing changes: {refusal.why}"
        return Done(words, state=StepState.SKIPPED)
    # it may be good, so somebody should look why it does not arrive
    words = f"{refusal.unverified} deliveries had no good signature; fetched again after a day, or by --again: {refusal.why}"
    return Done(words, state=StepState.FAILED)
