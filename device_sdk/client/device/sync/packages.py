"""Packages that change the device: symmetric keys and firmware, and what the server wants to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.client.device.context import Context
from device_sdk.client.device.key_establishment import opening_keys
from device_sdk.client.device.sync.circumstances import circumstances_of, is_lasting
from device_sdk.client.device.sync.deliveries import Deliveries, FirmwareDelivery, KeyDelivery
from device_sdk.client.device.sync.report import StepState
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.visit import Outgoing, Visit, put
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.errors import (
    ConfigurationError,
    DeviceSdkError,
    FirmwareError,
    KeyNotFoundError,
    KeysNotStoredError,
    KeyStoreError,
)
from device_sdk.protocols.crls import kept_for
from device_sdk.protocols.est.returns import return_path
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.pal import SyncStep
from device_sdk.wire.cms.recipients import OpeningKey
from device_sdk.wire.firmware import LoadErrorCode

if TYPE_CHECKING:
    from device_sdk.client.firmware import RecordFile

MAX_AGAIN = 3
"""So often a receipt or error is sent again that the server had and asks for all the same."""
_STALE = int(LoadErrorCode.STALE_PACKAGE)
_BEFORE = "the same package was dealt with"


@dataclass(frozen=True)
class Done:
    """What came of a step.

    Attributes:
        detail: in words.
        notes: what a person should know beyond that.
        state: DONE, EARLIER or SKIPPED; FAILED for what was done in part, and is over.
    """

    detail: str
    notes: tuple[str, ...] = ()
    state: StepState = StepState.DONE


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
        try:
            self._recover()
        except DeviceSdkError as error:
            return (error.message,)
        return ()

    def _recover(self) -> None:
        outbox, ledger = self.context.state.outbox, self.context.state.processed
        done = {record.event or record.sha256 for record in ledger.all() if record.result == "done"}
        for message in (*outbox.held("symmetrickeys/return"), *outbox.held("serverkeygen/return")):
            if message.event in done:
                outbox.release(message.id)
        if self.deliveries.firmware is None or not outbox.held("firmware/return"):
            return
        wishes = self.deliveries.firmware()
        returns = Outgoing(self.context)
        firmware = self.session.client.packages.returning(returns).firmware
        firmware.recover(wishes.installer, self._record(wishes))

    def keys(self, step: SyncStep) -> Done:
        """Fetch a package of symmetric keys, and store them (K-01 to K-12, KR-06)."""
        if self.deliveries.keys is None:  # not reached: such a step has no task
            raise ConfigurationError("nothing says where keys go")
        wishes, visit = self.deliveries.keys(), self._visit(step)
        if visit.is_known:
            return _known(visit)
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
            return _known(visit) if visit.came else Done("nothing is there")
        event = package.digest
        if wishes.returns:
            withheld = packages.return_receipts(
                package, event=event, recipient=wishes.policy.receipt_recipient
            ).withheld
            notes = tuple(f"no receipt for package {number.hex()}: {reason}" for number, reason in withheld)
        else:
            notes = ()
        from device_sdk.keystores.secret_import import store_keys

        visit.begin(event)
        path = return_path(self._operation(step))
        try:
            stored = store_keys(
                package.keys, wishes.place, replace=wishes.replace or visit.was_begun, pin=self.context.pin
            )
        except KeysNotStoredError:  # half of them: the next run stores them all again
            visit.settle(path, event, happened=False)
            raise
        except (KeyStoreError, ConfigurationError):
            visit.settle(path, event, happened=False)
            if wishes.returns:
                packages.return_key_error(package, recipient=wishes.policy.receipt_recipient)
            visit.refused()
            raise
        visit.done()
        visit.settle(path, event, happened=True)
        return Done(f"keys stored: {', '.join(stored.places)}", notes)

    def generated(self, step: SyncStep) -> Done:
        """Get a key that the server generates, and store it (A-01 to A-08, AR-01, B-01 to B-05): once for each offer."""
        if self.deliveries.generated is None:  # not reached: such a step has no task
            raise ConfigurationError("nothing says where a generated key goes")
        from device_sdk.client.device.sync.generated import GeneratedKey

        visit, wishes = self._visit(step), self.deliveries.generated()
        if visit.before is not None and visit.before.result == "done":
            return _known(visit)
        if wishes.policy is not None:
            wishes = replace(wishes, policy=self._policy(wishes.policy))
        return Done(GeneratedKey(self.context, self.session, visit, wishes).take(step))

    def firmware(self, step: SyncStep) -> Done:
        """Fetch firmware, and install it (F-01 to F-13, FR-06)."""
        if self.deliveries.firmware is None:  # not reached: such a step has no task
            raise ConfigurationError("nothing says what takes firmware")
        wishes, visit = self.deliveries.firmware(), self._visit(step)
        if visit.is_known:
            return _known(visit)
        circumstances = circumstances_of(self.context, wishes)
        if not wishes.again and (why := visit.still_refused(circumstances)) is not None:
            return Done(f"refused before, and not fetched again while nothing changes: {why}", state=StepState.SKIPPED)
        identity = self.session.identity
        with ExitStack() as opened:
            rules = replace(
                wishes.rules,
                keys=(*wishes.rules.keys, *self._openers(wishes, opened)),
                revocation_lists=(*wishes.rules.revocation_lists, *self._kept_for(wishes.rules.anchors)),
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
                visit.refused(error.message, circumstances if is_lasting(error) else "")
                if visit.was_refused and isinstance(error, FirmwareError) and error.load_error == _STALE:
                    return Done(f"refused before: {error.message}", state=StepState.SKIPPED)
                raise
        if found is None:
            return _known(visit) if visit.came else Done("nothing is there")
        visit.done()
        name = found.attributes.name if found.attributes else "firmware that nobody signed"
        return Done(f"installed {name}, {found.size} bytes")

    def anchors(self, step: SyncStep) -> Done:
        """Fetch a message about trust anchors, do what it says, and answer it (T-01 to T-16, TR-01 to TR-05)."""
        from device_sdk.client.device.managing import AnchorManagement

        visit = self._visit(step)
        if visit.is_known:
            return _known(visit)
        management = AnchorManagement(self.context, self.session, visit, visit.wanted)
        try:
            outcome = management.run(step.target)
        except DeviceSdkError:
            visit.refused()
            raise
        if outcome is None:
            return _known(visit) if visit.came else Done("nothing is there")
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
        told = [one for one in state.processed.all() if one.returns and one.returns[0].path == path]
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
        return Visit(self.context, step, self.session.client.endpoint.origin)

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
        return replace(policy, revocation_lists=(*policy.revocation_lists, *self._kept_for(policy.anchors)))

    def _kept_for(self, anchors: Sequence[x509.Certificate]) -> tuple[x509.CertificateRevocationList, ...]:
        return kept_for(self.session.lists, anchors=anchors, now=self.context.clock.now())


def _known(visit: Visit) -> Done:
    when = f" on {visit.before.at:%Y-%m-%dT%H:%M:%SZ}" if visit.before else ""
    return Done(f"{_BEFORE}{when}", state=StepState.EARLIER)
