"""What comes of each kind of step: fetched, checked, and kept by one replacement of one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from cryptography import x509

from device_sdk.client.device.anchors import AnchorRefresh
from device_sdk.client.device.context import Context
from device_sdk.client.device.generated_keys import GeneratedKeys, HeldKey, held_keys
from device_sdk.client.device.key_establishment import KeyEstablishment
from device_sdk.client.device.plan import RenewalPlan
from device_sdk.client.device.renew import Renewal
from device_sdk.client.device.request import AskedAt
from device_sdk.client.device.sync.outcome import Done
from device_sdk.client.device.sync.packages import PackageKeeper
from device_sdk.client.device.sync.peers import Peers
from device_sdk.client.device.sync.report import StepState
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.tasks import Task
from device_sdk.client.est import CaCertificates
from device_sdk.errors import DeviceSdkError
from device_sdk.protocols.crls import RevocationList, RevocationLists, check_crls
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.merge_crls import merge_lists
from device_sdk.protocols.pal import SyncStep
from device_sdk.protocols.pal.concerns import names
from device_sdk.protocols.usable import require_usable
from device_sdk.state import KeptPeer
from device_sdk.wire.path import name_of

_ENROLMENT = (Operation.SIMPLE_ENROLL, Operation.SIMPLE_REENROLL)


@dataclass
class Keeper:
    """Does the steps of one sync.

    Attributes:
        context: the device.
        plan: what its owner wants of a renewal.
        session: the connection.
        renewed: whether the certificate was renewed since this sync began; once is enough.
        packages: does the steps that change more than files of the state directory.
        second_renewed: whether that for key establishment was.
        fetched: targets of what was fetched in this run: two types lead to /crls.
    """

    context: Context
    plan: RenewalPlan
    session: Session
    packages: PackageKeeper
    renewed: bool = False
    second_renewed: bool = False
    fetched: set[str] = field(default_factory=set)

    def do(self, task: Task, step: SyncStep) -> Done:
        """Do one step."""
        if task is Task.RENEW:
            return self._renew(step)
        if task is Task.RESULT:
            return self._result(step)
        if task in (Task.SECOND, Task.SECOND_RESULT):
            return self._second(task, step)
        if task is Task.GENERATED_RENEWAL:
            return self._renew_generated(step)
        if task in self._of_packages:
            return self._of_packages[task](step)
        if step.target in self.fetched:
            return Done("fetched in this run already")
        doing = {Task.ANCHORS: self._anchors, Task.LISTS: self._lists, Task.PEERS: self._peers}
        done = doing[task](step.target)
        self.fetched.add(step.target)
        return done

    @property
    def _of_packages(self) -> dict[Task, Callable[[SyncStep], Done]]:
        there = self.packages
        return {
            Task.KEYS: there.keys,
            Task.GENERATED: there.generated,
            Task.FIRMWARE: there.firmware,
            Task.MANAGE: there.anchors,
            Task.RETURN: there.send_again,
        }

    def _anchors(self, _: str) -> Done:
        outcome = AnchorRefresh(self.context, self.plan).keep(self.session.ca)
        notes = self._keep_peers(self._held().accepted)
        words = "the trust anchors changed" if outcome.changed else "the trust anchors are the same"
        return Done(words, (*outcome.notes, *notes))

    def _lists(self, target: str) -> Done:
        session = self.session
        signers, problem = self._signer_anchors()
        found = session.client.packages.crls(
            target, intermediates=session.list_issuers, signers=signers, **session.waiting
        )
        require_usable(found, session.url(target))
        merged = merge_lists(self._held(), found, session.editions)
        for_signers = merge_lists(self._held_for_signers(signers), RevocationLists(found.for_signers), session.editions)
        # who was revoked goes before the list that says so is kept: after a power cut in between nobody is trusted by mistake
        notes = self._keep_peers(merged.kept)
        lists = tuple(one.crl for one in merged.kept)
        of_signers = session.signer_lists if problem else tuple(one.crl for one in for_signers.kept)
        paths = [one.authorities for one in (*merged.kept, *for_signers.kept)]
        needed = dict.fromkeys(ca for path in (*paths, session.list_issuers if problem else ()) for ca in path)
        session.keep_lists(lists, of_signers, needed, merged.editions() | for_signers.editions())
        words = f"revocation lists kept: {len(lists)}"
        if of_signers:
            words += f", and {len(of_signers)} about who signs packages"
        return Done(words, (*merged.notes, *(problem or for_signers.notes), *notes))

    def _signer_anchors(self) -> tuple[tuple[x509.Certificate, ...], tuple[str, ...]]:
        """To whom the signers of packages lead, and why that is not known: the lists about them stay as they are then."""
        try:
            return self.packages.signer_anchors(), ()
        except (DeviceSdkError, OSError) as error:  # of what a program reads for its deliveries
            why = error.message if isinstance(error, DeviceSdkError) else str(error)
            return (), (f"revocation lists about who signs packages stay as they are: {why}",)

    def _peers(self, target: str) -> Done:
        session, held = self.session, self._held().accepted
        found = session.client.packages.peers(
            target, lists=[one.crl for one in held], intermediates=session.list_issuers, **session.waiting
        )
        require_usable(found, session.url(target))
        notes = self._keep_peers(held, target, [KeptPeer(target, one) for one in found.accepted])
        rejected = (f"rejected {name_of(one)}: {reason}" for one, reason in found.rejected)
        return Done(f"certificates of peers from there: {len(found.accepted)}", (*rejected, *notes))

    def _renew(self, step: SyncStep) -> Done:
        if self.renewed:
            return Done("the certificate was renewed in this run already")
        at = self._asked_at(step)
        self.session.close()
        plan = replace(self.plan, wait_s=self.session.connection.patience.left_s())
        outcome = Renewal(self.context, plan, at).run()
        self.renewed = True
        return Done(f"renewed until {outcome.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}", outcome.notes)

    def _result(self, step: SyncStep) -> Done:
        """What became of the renewal that is under way; the server is authenticated to, and authenticates itself, anew (N-02)."""
        if self.renewed:
            return Done("the certificate was renewed in this run already")
        if self.context.state.journal() is None:
            return Done("no renewal is under way here", state=StepState.SKIPPED)
        self.session.close()
        outcome = Renewal(self.context, replace(self.plan, wait_s=self.session.connection.patience.left_s())).pick_up(
            step.target
        )
        if outcome is None:
            return Done("the server has no result of a request that was sent from here", state=StepState.SKIPPED)
        self.renewed = True
        until = f"{outcome.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        return Done(f"renewed until {until}, by the answer that was lost", outcome.notes)

    def _second(self, task: Task, step: SyncStep) -> Done:
        """The certificate for key establishment, over a connection of its own with the one for signatures (N-01 to N-03)."""
        if self.second_renewed:
            return Done("there is a new certificate for key establishment since this run began")
        at = self._asked_at(step)
        self.session.close()
        wish, wait_s = self.packages.deliveries.key_establishment, self.session.connection.patience.left_s()
        second = KeyEstablishment(self.context, replace(self.plan, wait_s=wait_s), wish and wish())
        outcome = second.run(at) if task is Task.SECOND else second.pick_up(step.target)
        if outcome is None:
            return Done("no request is under way here that the server has a result of", state=StepState.SKIPPED)
        self.second_renewed = True
        until = f"{outcome.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        return Done(f"certificate for key establishment until {until}", outcome.notes)

    def _renew_generated(self, step: SyncStep) -> Done:
        """The certificate of a key that the server made, for the same key."""
        name = step.entry.certificate
        held = next((one for one in held_keys(self.context.state) if name and names(name, one.certificate)), None)
        if held is None:
            return Done("it was renewed in this run already")
        return self.renew_generated(held)

    def renew_generated(self, held: HeldKey) -> Done:
        """The next certificate for a key that the server made; raises as GeneratedKeys.renew."""
        self.session.close()
        place, wishes = None, self.packages.deliveries.generated
        with suppress(DeviceSdkError, OSError):  # its PIN is all that is wanted of it
            place = wishes().place if wishes else None
        plan = replace(self.plan, wait_s=self.session.connection.patience.left_s())
        outcome = GeneratedKeys(self.context).renew(held, plan, place)
        until = f"{outcome.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        return Done(f"certificate of {held.record.key_uri} until {until}", outcome.notes)

    def _asked_at(self, step: SyncStep) -> AskedAt:
        """Where an entry leads; at the operations themselves a renewal is one, whichever of them the entry names."""
        endpoint, target = self.session.client.endpoint, step.target
        if target in {endpoint.target(one) for one in (*_ENROLMENT, Operation.CSRATTRS)}:
            return AskedAt()
        return AskedAt(csrattrs=target) if endpoint.is_at(Operation.CSRATTRS, target) else AskedAt(request=target)

    @property
    def _ca(self) -> CaCertificates:
        """The CA certificates of this run, and those that kept lists lead through.

        An answer of /cacerts that leaves a CA out, which nobody signed, takes its list away from nobody: an older one could
        be given after that. The latter come first, so that no number of others uses up the search.
        """
        ca = self.session.ca
        return replace(ca, intermediates=tuple(dict.fromkeys((*self.session.list_issuers, *ca.intermediates))))

    def _held(self) -> RevocationLists:
        ca = self._ca
        return check_crls(
            self.session.lists, anchors=ca.anchors, intermediates=ca.intermediates, now=self._now, held=True
        )

    def _held_for_signers(self, anchors: tuple[x509.Certificate, ...]) -> RevocationLists:
        between = self._ca.intermediates
        return check_crls(self.session.signer_lists, anchors=anchors, intermediates=between, now=self._now, held=True)

    def _keep_peers(
        self, lists: Iterable[RevocationList], place: str | None = None, new: Iterable[KeptPeer] = ()
    ) -> tuple[str, ...]:
        return self._peers_kept.keep(self._ca, lists, place, new)

    @cached_property
    def _peers_kept(self) -> Peers:
        return Peers(self.context)

    @property
    def _now(self) -> datetime:
        return self.context.clock.now()
