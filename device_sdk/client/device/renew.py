"""The next certificate of a device that has one."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from cryptography import x509

from device_sdk.client.device.anchors import explained
from device_sdk.client.device.clock import check_clock
from device_sdk.client.device.connection import Connection
from device_sdk.client.device.context import Context
from device_sdk.client.device.current import enrolled
from device_sdk.client.device.finish import finish, is_switched, still_valid
from device_sdk.client.device.generation import absolute, next_key_uri
from device_sdk.client.device.plan import Outcome, RenewalPlan
from device_sdk.client.device.provenance import is_unborn, make_key, replaced_sha256
from device_sdk.client.device.request import (
    ANYWHERE,
    Ask,
    AskedAt,
    NothingThereError,
    choose_key_type,
    earlier_request,
    forget_refused,
    is_by_cmc,
    keep_early,
    remember_issued,
    remember_pending,
    wait_for_turn,
    wishes_of,
)
from device_sdk.client.device.undo import undo
from device_sdk.client.device.use import for_key_establishment, only_establishes, shows
from device_sdk.client.est import Enrolled, EstClient
from device_sdk.errors import (
    CmcPendingError,
    CmcRefusedError,
    HttpStatusError,
    KeyExistsError,
    ServerNotTrustedError,
    StateError,
    TlsError,
)
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.state import DeviceState, Endpoint, IdentityRecord, Journal, Operation, Phase
from device_sdk.wire.csrattrs import CsrAttributes


@dataclass(frozen=True)
class Renewal:
    """One run of a renewal: from wherever an earlier run was stopped to the end. The state's lock must be held.

    Attributes:
        context: the device.
        plan: what its owner wants.
        at: where the server is asked.
    """

    context: Context
    plan: RenewalPlan
    at: AskedAt = ANYWHERE

    def run(self) -> Outcome:
        """Renew; see Device.renew."""
        context = self.context
        state = context.state.load()
        current, endpoint = enrolled(context.state, state)
        check_clock(context.clock.now(), state.time_floor)
        journal = self._left_over(state, current)
        if context.main is not None:
            endpoint, _ = context.service()
        journal = _trusting(journal or self._begin(state, current, endpoint), self.plan)
        notes: tuple[str, ...] = ()
        if journal.phase is not Phase.ISSUED:
            wait_for_turn(journal, self._connection.patience)
            if journal.phase is not Phase.PENDING:  # what waits is asked for where it is
                journal = replace(journal, target=self.at.request)
            ask = self._ask_by_cmc if is_by_cmc(journal) else self._reenroll
            journal, notes = self._request(journal, state, current, ask)
        return finish(context, journal, self._connection, notes=notes)

    def pick_up(self, target: str) -> Outcome | None:
        """Finish a renewal whose answer was lost with the result that the server kept (RFC 8295 section 9; N-03).

        A GET is all that is sent, and no key is made.

        Args:
            target: where the result is.

        Returns:
            What came of it; None if nothing was sent that could have a result, or the server has none.

        Raises:
            DeviceSdkError: as `run`; HttpStatusError may be the server's word that the request was refused.
        """
        from device_sdk.client.est.result import LostRequest

        context = self.context
        state = context.state.load()
        current, _ = enrolled(context.state, state)
        journal = self._left_over(state, current)
        if journal is None or (journal.key_sha256 is None and journal.key_uri != current.key_uri):
            return None

        def ask(
            client: EstClient, key: DeviceKey, spec: CsrSpec, wishes: CsrAttributes, _journal: Journal
        ) -> Enrolled | None:
            lost = LostRequest(key, spec, context.state.chain(current.certificate)[0], wishes)  # type: ignore[arg-type]  # one of cryptography's
            return client.packages.result(lost, target, **self._connection.waiting)

        notes: tuple[str, ...] = ()
        if journal.phase is not Phase.ISSUED:
            try:
                journal, notes = self._request(_trusting(journal, self.plan), state, current, ask)
            except NothingThereError:
                return None
        return finish(context, journal, self._connection, notes=notes)

    @cached_property
    def _connection(self) -> Connection:
        return Connection.of(self.plan, self.context.clock, self.context.lists())

    def _left_over(self, state: DeviceState, current: IdentityRecord) -> Journal | None:
        """What an earlier run left for this one to go on with."""
        context = self.context
        journal = context.state.journal()
        if journal is None:
            return None
        renewal = journal.operation is Operation.RENEW
        if is_switched(context, state, journal):
            if renewal:
                return journal
            finish(context, journal, self._connection)
            return None
        if not renewal:
            raise StateError(
                f"{context.state.path}: an enrolment is under way since {journal.since:%Y-%m-%dT%H:%M:%SZ}",
                hint="finish it by the command that began it, or abandon it",
                path=str(context.state.path),
            )
        renamed = self.plan.key_uri is not None and str(absolute(self.plan.key_uri)) != journal.key_uri
        rekey = journal.key_uri != current.key_uri
        lost_name = rekey and is_unborn(journal) and context.key_exists(journal.key_uri)
        if journal.replaces != current or renamed or lost_name:
            undo(context, journal)
            return None
        if journal.phase is Phase.ISSUED and not still_valid(context, journal):
            return replace(journal, phase=Phase.REQUEST, chain=None)
        return journal

    def _begin(self, state: DeviceState, current: IdentityRecord, endpoint: Endpoint) -> Journal:
        """Write down which key will be made, before it is made; not where its certificate could not be kept."""
        key_uri = self._new_key_uri(state, current) if self.plan.rekey else current.key_uri
        self.context.require_certificate_place(key_uri)
        named = self.plan.rekey and self.plan.key_uri is not None
        journal = Journal(
            operation=Operation.RENEW,
            phase=Phase.REQUEST,
            key_uri=key_uri,
            base_key_uri=key_uri if named else state.base_key_uri or current.key_uri,
            created_here=True if self.plan.rekey else current.created_here,
            url=endpoint.url,
            label=endpoint.label,
            since=self.context.clock.now(),
            implicit=endpoint.implicit,
            announce=endpoint.announce,
            replaces=current,
            replaces_sha256=replaced_sha256(self.context, current),
            keep_old=self.plan.keep_old,
            mac_address=self.plan.mac_address or state.mac_address,
        )
        self.context.state.write_journal(journal)
        return journal

    def _new_key_uri(self, state: DeviceState, current: IdentityRecord) -> str:
        if self.plan.key_uri is None:
            avoid = tuple(record.key_uri for record in state.previous)
            base = state.base_key_uri or current.key_uri
            return str(next_key_uri(base, current.key_uri, avoid, self.context.key_exists))
        uri = absolute(self.plan.key_uri)
        if self.context.key_exists(uri):
            raise KeyExistsError(
                f"{uri}: there is a key of that name already", hint="give the new key another name", uri=str(uri)
            )
        return str(uri)

    def _request(
        self, journal: Journal, state: DeviceState, current: IdentityRecord, ask: Ask
    ) -> tuple[Journal, tuple[str, ...]]:
        context, plan, connection = self.context, self.plan, self._connection
        context.require_certificate_place(journal.key_uri)
        chain = context.state.chain(current.certificate)
        with ExitStack() as opened:
            old_key = opened.enter_context(context.open_key(current.key_uri))
            if context.main is None:
                endpoint = journal.endpoint
                trust = ServerTrust(context.state.anchors(state.anchors or ""), journal.implicit)
                identity = TlsIdentity(chain, old_key)  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's
            else:
                endpoint, trust = context.service()
                own = not context.establishes and shows(chain[0], context.clock.now())
                identity = TlsIdentity(chain, old_key) if own else opened.enter_context(context.identity())  # type: ignore[arg-type]  # the same
            try:
                with connection.client(endpoint, trust, identity) as client:
                    ca = client.cacerts(**connection.waiting)
                    key, journal, wishes, notes = self._key(journal, old_key, wishes_of(client, self.at, connection))
                    with key, forget_refused(context, journal), keep_early(context, journal, ca):
                        spec = CsrSpec(
                            x509.Name([]),
                            device=DeviceAttributes(mac_address=journal.mac_address),
                            values=plan.values,
                            new_name=plan.new_name,
                            otp_challenge=plan.otp_challenge,
                            revocation_challenge=plan.revocation_challenge,
                        )
                        if context.establishes or (context.main is not None and only_establishes(chain[0])):
                            spec, wishes = for_key_establishment(spec, wishes, key)
                        issued = ask(client, key, spec, wishes, journal)
                        if issued is None:
                            raise NothingThereError
            except ServerNotTrustedError as error:
                raise explained(error, trust.explicit, context.clock.now()) from error.__cause__
            except (TlsError, HttpStatusError) as error:
                if identity.chain[0].not_valid_after_utc < context.clock.now():
                    error.hint = "the certificate has expired: enrol again, with credentials"
                raise
        return remember_issued(context, journal, issued, ca), (*notes, *issued.differences)

    def _reenroll(
        self, client: EstClient, key: DeviceKey, spec: CsrSpec, wishes: CsrAttributes, journal: Journal
    ) -> Enrolled:
        return client.reenroll(
            key,  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys
            spec,
            renews=self._renews(journal),
            target=journal.target,
            wishes=wishes,
            wait_s=self._connection.patience.left_s(),
            progress=remember_pending(self.context, journal, client, self.plan.progress),
            pending=earlier_request(journal),
        )

    def _ask_by_cmc(
        self, client: EstClient, key: DeviceKey, spec: CsrSpec, wishes: CsrAttributes, journal: Journal
    ) -> Enrolled | None:
        """Ask, or ask what became of it, in a message that the certificate in use signs."""
        from device_sdk.client.est.full_cmc import PendingRequest

        options: dict[str, Any] = {
            "renews": self._renews(journal),
            "target": journal.target,
            "wait_s": self._connection.patience.left_s(),
            "progress": remember_pending(self.context, journal, client, self.plan.progress),
        }
        keep = self.context.state.write_journal
        try:
            if journal.cmc:
                pending = PendingRequest.from_json(json.loads(journal.cmc))
                return client.fullcmc.query(pending, key, signer=client.identity, **options).enrolled  # type: ignore[arg-type]  # one of cryptography's
            return client.fullcmc.renew(key, extra=spec, wishes=wishes, **options).enrolled  # type: ignore[arg-type]  # the same
        except CmcPendingError as error:
            turn = self.context.clock.now() + timedelta(seconds=error.retry_after_s or 0)
            keep(replace(journal, phase=Phase.PENDING, retry_at=turn, csr=None, cmc=json.dumps(error.pending)))
            raise
        except CmcRefusedError:
            if journal.cmc:  # it is not asked for again: the next run makes another request, with the same key
                keep(replace(journal, phase=Phase.REQUEST, retry_at=None, cmc=None))
            raise

    def _renews(self, journal: Journal) -> x509.Certificate | None:
        """The certificate to renew, if it is another than the one that authenticates."""
        own = journal.replaces if self.context.main is not None else None
        return None if own is None else self.context.state.chain(own.certificate)[0]

    def _key(
        self, journal: Journal, old_key: DeviceKey, wishes: CsrAttributes
    ) -> tuple[DeviceKey, Journal, CsrAttributes, tuple[str, ...]]:
        old_type = old_key.info.key_type or KeyType.EC_P256
        if journal.replaces and journal.key_uri == journal.replaces.key_uri:
            _, wishes, notes = choose_key_type(old_type, wishes, old_type, journal.url)
            return self.context.open_key(journal.key_uri), journal, wishes, notes
        key_type, wishes, notes = choose_key_type(self.plan.key_type, wishes, old_type, journal.url)
        uri = self.context.resolved(journal.key_uri)
        return *make_key(self.context, journal, uri, key_type), wishes, notes


def _trusting(journal: Journal, plan: RenewalPlan) -> Journal:
    """The journal with what the owner says about the operating system's anchors from now on (EST-58, EST-118)."""
    endpoint = journal.endpoint.anchored_by(implicit=plan.implicit)
    return replace(journal, implicit=endpoint.implicit, announce=endpoint.announce)
