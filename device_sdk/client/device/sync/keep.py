"""What comes of each kind of step: fetched, checked, and kept by one replacement of one file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from device_sdk.client.device.anchors import AnchorRefresh
from device_sdk.client.device.context import Context
from device_sdk.client.device.key_establishment import KeyEstablishment
from device_sdk.client.device.plan import RenewalPlan
from device_sdk.client.device.renew import Renewal
from device_sdk.client.device.sync.packages import Done, PackageKeeper
from device_sdk.client.device.sync.peers import Peers
from device_sdk.client.device.sync.report import StepState
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.tasks import Task
from device_sdk.protocols.crls import RevocationList, RevocationLists, check_crls
from device_sdk.protocols.merge_crls import merge_lists
from device_sdk.protocols.pal import SyncStep
from device_sdk.protocols.usable import require_usable
from device_sdk.state import KeptPeer
from device_sdk.wire.path import name_of


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
            return self._renew()
        if task is Task.RESULT:
            return self._result(step)
        if task in (Task.SECOND, Task.SECOND_RESULT):
            return self._second(task, step)
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
        found = session.client.packages.crls(target, **session.waiting)
        require_usable(found, session.url(target))
        merged = merge_lists(self._held(), found)
        # who was revoked goes before the list that says so is kept: after a power cut in between nobody is trusted by mistake
        notes = self._keep_peers(merged.kept)
        lists = tuple(one.crl for one in merged.kept)
        self.context.state.packages.save_lists(lists)
        session.lists = lists
        return Done(f"revocation lists kept: {len(lists)}", (*merged.notes, *notes))

    def _peers(self, target: str) -> Done:
        session, held = self.session, self._held().accepted
        found = session.client.packages.peers(target, lists=[one.crl for one in held], **session.waiting)
        require_usable(found, session.url(target))
        notes = self._keep_peers(held, target, [KeptPeer(target, one) for one in found.accepted])
        rejected = (f"rejected {name_of(one)}: {reason}" for one, reason in found.rejected)
        return Done(f"certificates of peers from there: {len(found.accepted)}", (*rejected, *notes))

    def _renew(self) -> Done:
        if self.renewed:
            return Done("the certificate was renewed in this run already")
        self.session.close()
        outcome = Renewal(self.context, replace(self.plan, wait_s=self.session.connection.patience.left_s())).run()
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
        self.session.close()
        wish, wait_s = self.packages.deliveries.key_establishment, self.session.connection.patience.left_s()
        second = KeyEstablishment(self.context, replace(self.plan, wait_s=wait_s), wish and wish())
        outcome = second.run() if task is Task.SECOND else second.pick_up(step.target)
        if outcome is None:
            return Done("no request is under way here that the server has a result of", state=StepState.SKIPPED)
        self.second_renewed = True
        until = f"{outcome.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        return Done(f"certificate for key establishment until {until}", outcome.notes)

    def _held(self) -> RevocationLists:
        ca = self.session.ca
        return check_crls(self.session.lists, anchors=ca.anchors, intermediates=ca.intermediates, now=self._now)

    def _keep_peers(
        self, lists: Iterable[RevocationList], place: str | None = None, new: Iterable[KeptPeer] = ()
    ) -> tuple[str, ...]:
        return self._peers_kept.keep(self.session.ca, lists, place, new)

    @cached_property
    def _peers_kept(self) -> Peers:
        return Peers(self.context)

    @property
    def _now(self) -> datetime:
        return self.context.clock.now()
