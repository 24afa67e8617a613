"""The first certificate of a device, and every one it enrols for anew."""

from __future__ import annotations

from dataclasses import dataclass, replace

from device_sdk.client.device.clock import check_clock
from device_sdk.client.device.context import Connection, Context
from device_sdk.client.device.finish import finish, is_switched, still_valid
from device_sdk.client.device.generation import absolute
from device_sdk.client.device.plan import EnrolmentPlan, Outcome
from device_sdk.client.device.provenance import certified_sha256, foreign, is_unborn, make_key, replaced_sha256
from device_sdk.client.device.request import (
    choose_key_type,
    earlier_request,
    forget_refused,
    remember_issued,
    remember_pending,
    wait_for_turn,
)
from device_sdk.client.device.undo import undo
from device_sdk.client.est import EstClient, bootstrap_client
from device_sdk.client.est.patience import Patience
from device_sdk.errors import ConfigurationError, KeyExistsError, ServerNotTrustedError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import ServerTrust
from device_sdk.state import DeviceState, Journal, Operation, Phase
from device_sdk.wire.csrattrs import CsrAttributes


@dataclass(frozen=True)
class Enrolment:
    """One run of an enrolment: from wherever an earlier run was stopped to the end. The state's lock must be held.

    Attributes:
        context: the device.
        plan: what its owner wants.
    """

    context: Context
    plan: EnrolmentPlan

    def run(self) -> Outcome:
        """Enrol; see Device.enroll."""
        context = self.context
        state = context.state.load()
        check_clock(context.clock.now(), state.time_floor, self.plan.anchors)
        journal = self._left_over(state)
        resumed = journal is not None
        if journal is None:
            state = context.state.load()
            done = self._already(state)
            if done:
                return done
            journal = self._begin(state)
        notes: tuple[str, ...] = ()
        if journal.phase is not Phase.ISSUED:
            journal, notes = self._request(journal, state)
        return finish(context, journal, self._connection, resumed=resumed, notes=notes)

    @property
    def _connection(self) -> Connection:
        return Connection(self.plan.credentials, self.plan.timeouts, self.plan.proxy, self.plan.compatibility)

    @property
    def _uri(self) -> str:
        return str(absolute(self.plan.key_uri))

    def _left_over(self, state: DeviceState) -> Journal | None:
        """What an earlier run left for this one to go on with; what does not fit the plan is finished or undone."""
        context, plan = self.context, self.plan
        journal = context.state.journal()
        if journal is None:
            return None
        ours = journal.operation is Operation.ENROLL and journal.key_uri == self._uri
        if is_switched(context, state, journal):
            if ours:
                return journal
            finish(context, journal, self._connection, resumed=True)
            return None
        if not ours:
            # A renewal under way is none of our business while the certificate it replaces is good.
            if journal.operation is Operation.ENROLL or plan.again or self._expired(state):
                undo(context, journal)
            return None
        here = (journal.url, journal.label) == (plan.url, plan.label)
        if not here or (journal.phase is Phase.ISSUED and not still_valid(context, journal)):
            phase = Phase.CREATING if journal.phase is Phase.CREATING else Phase.REQUEST
            journal = replace(journal, url=plan.url, label=plan.label, phase=phase, retry_at=None, chain=None)
        in_use = {record.key_uri for record in (state.current, *state.previous) if record}
        if is_unborn(journal) and journal.key_uri not in in_use and self._is_taken():
            return replace(journal, created_here=False)
        return journal

    def _expired(self, state: DeviceState) -> bool:
        if state.current is None:
            return True
        leaf = self.context.state.chain(state.current.certificate)[0]
        return leaf.not_valid_after_utc <= self.context.clock.now()

    def _already(self, state: DeviceState) -> Outcome | None:
        """An enrolled device stays as it is."""
        if state.current is None or self.plan.again or self._expired(state):
            return None
        endpoint = state.endpoint
        same_server = endpoint is not None and (endpoint.url, endpoint.label) == (self.plan.url, self.plan.label)
        if not same_server or self._uri not in (state.base_key_uri, state.current.key_uri):
            raise ConfigurationError(
                f"{self.context.state.path}: this device is enrolled already, with {state.current.key_uri} at "
                f"{endpoint.url if endpoint else 'an unknown server'}",
                hint="renew the certificate, or enrol again (--again), or take another state directory (--state)",
            )
        return Outcome(state.current.key_uri, self.context.state.chain(state.current.certificate), changed=False)

    def _begin(self, state: DeviceState) -> Journal:
        """Write down which key will be made, before it is made."""
        owned = {record.key_uri: record.created_here for record in (state.current, *state.previous) if record}
        taken = self._uri not in owned and self._is_taken()
        journal = Journal(
            operation=Operation.ENROLL,
            phase=Phase.REQUEST,
            key_uri=self._uri,
            base_key_uri=self._uri,
            created_here=owned.get(self._uri, not taken),
            url=self.plan.url,
            label=self.plan.label,
            since=self.context.clock.now(),
            replaces=state.current,
            replaces_sha256=replaced_sha256(self.context, state.current),
        )
        self.context.state.write_journal(journal)
        return journal

    def _is_taken(self) -> bool:
        """Whether somebody else's key has the name; KeyExistsError unless the plan is to use it."""
        taken = self.context.key_exists(absolute(self.plan.key_uri))
        if taken and not self.plan.reuse_key:
            raise KeyExistsError(
                f"{self._uri}: there is a key of that name already",
                hint="allow its reuse (--reuse), or give the new key another name (--key)",
                uri=self._uri,
            )
        return taken

    def _request(self, journal: Journal, state: DeviceState) -> tuple[Journal, tuple[str, ...]]:
        context, plan = self.context, self.plan
        patience = Patience(context.clock, wait_for_turn(context, journal, plan.wait_s))
        opened, implicit = self._trusting_client()
        journal = replace(journal, implicit=implicit, mac_address=plan.spec.device.mac_address)
        with opened as client:
            ca = client.cacerts(wait_s=patience.left_s())
            key, journal, wishes, notes = self._key(journal, state, client.csrattrs(wait_s=patience.left_s()))
            with key, forget_refused(context, journal):
                progress = remember_pending(context, journal, client)
                enrolled = client.enroll(
                    key,  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys
                    plan.spec,
                    wishes=wishes,
                    wait_s=patience.left_s(),
                    progress=progress,
                    pending=earlier_request(journal),
                )
        return remember_issued(context, journal, enrolled, ca), (*notes, *enrolled.differences)

    def _key(
        self, journal: Journal, state: DeviceState, wishes: CsrAttributes
    ) -> tuple[DeviceKey, Journal, CsrAttributes, tuple[str, ...]]:
        """The key to certify: made now, made by an earlier run, or there before."""
        context, uri = self.context, absolute(self.plan.key_uri)
        in_use = {record.key_uri: record for record in (state.current, *state.previous) if record}
        if journal.created_here and journal.key_uri not in in_use:
            key_type, wishes, notes = choose_key_type(self.plan.key_type, wishes, KeyType.EC_P256, journal.url)
            try:
                return *make_key(context, journal, uri, key_type), wishes, notes
            except KeyExistsError:
                if not self.plan.reuse_key:
                    raise
            journal = replace(journal, created_here=False, phase=Phase.REQUEST, key_sha256=None, key_id=None)
        key = context.open_key(uri)
        if journal.created_here and key.info.spki_sha256 != certified_sha256(context, in_use[journal.key_uri]):
            key.close()
            raise foreign(self._uri)
        found, wanted = key.info.key_type, self.plan.key_type
        if wanted is not None and wanted is not found:
            key.close()
            raise KeyExistsError(
                f"{self._uri}: the key there is {found.value if found else 'of an unknown type'}, not {wanted.value}",
                hint="leave the key type out (--type), or give the new key another name (--key)",
                uri=self._uri,
            )
        _, wishes, notes = choose_key_type(found, wishes, KeyType.EC_P256, journal.url)
        return key, journal, wishes, notes

    def _client(self, trust: ServerTrust) -> EstClient:
        plan = self.plan
        return EstClient(
            plan.url,
            trust,
            label=plan.label,
            identity=plan.identity,
            credentials=plan.credentials,
            timeouts=plan.timeouts,
            proxy=plan.proxy,
            compatibility=plan.compatibility,
            clock=self.context.clock,
        )

    def _trusting_client(self) -> tuple[EstClient, bool]:
        """A client whose first operation shows whether the server is the one that was meant, and whether it is Implicit."""
        plan = self.plan
        if plan.pins:
            client = bootstrap_client(
                plan.url,
                plan.pins,
                label=plan.label,
                identity=plan.identity,
                credentials=plan.credentials,
                timeouts=plan.timeouts,
                proxy=plan.proxy,
                compatibility=plan.compatibility,
                clock=self.context.clock,
            )
            return client, False
        trust = ServerTrust(plan.anchors, plan.implicit) if plan.anchors else self._found_trust()
        return self._client(trust), trust.implicit

    def _found_trust(self) -> ServerTrust:
        """Explicit anchors wherever they can be had (EST-118)."""
        implicit = ServerTrust(implicit=True)
        with self._client(implicit) as client:
            anchors = client.cacerts().anchors
        try:
            with self._client(ServerTrust(anchors)) as client:
                client.cacerts()
        except ServerNotTrustedError:
            # The service stands behind a public certificate, and its CA is a private one.
            return ServerTrust(anchors, implicit=True)
        return ServerTrust(anchors)
