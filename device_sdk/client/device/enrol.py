"""The first certificate of a device, and every one it enrols for anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from device_sdk.client.device.clock import check_clock
from device_sdk.client.device.connection import Connection
from device_sdk.client.device.context import Context
from device_sdk.client.device.finish import finish, is_switched, still_valid
from device_sdk.client.device.generation import absolute
from device_sdk.client.device.plan import EnrolmentPlan, Outcome
from device_sdk.client.device.provenance import certified_sha256, foreign, is_unborn, make_key, replaced_sha256
from device_sdk.client.device.request import (
    ANYWHERE,
    Ask,
    AskedAt,
    NothingThereError,
    choose_key_type,
    earlier_request,
    forget_refused,
    keep_early,
    remember_issued,
    remember_pending,
    wait_for_turn,
    wishes_of,
)
from device_sdk.client.device.undo import undo
from device_sdk.client.device.use import for_key_establishment
from device_sdk.client.est import Enrolled, EstClient
from device_sdk.errors import ConfigurationError, KeyExistsError, ServerNotTrustedError, TlsError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.trust import ServerTrust
from device_sdk.state import DeviceState, Journal, Operation, Phase
from device_sdk.wire.csrattrs import CsrAttributes

_UNNAMED = (
    "the CA was named in this handshake: try again; if it stays so, fetch the anchors (device-sdk est cacerts --implicit) and "
    "enrol with them (--anchors)"
)


@dataclass(frozen=True)
class Enrolment:
    """One run of an enrolment: from wherever an earlier run was stopped to the end. The state's lock must be held.

    Attributes:
        context: the device.
        plan: what its owner wants.
        at: where the server is asked.
    """

    context: Context
    plan: EnrolmentPlan
    at: AskedAt = ANYWHERE

    def run(self) -> Outcome:
        """Enrol; see Device.enroll."""
        begun = self.begin()
        if isinstance(begun, Outcome):
            return begun
        journal, state = begun
        notes: tuple[str, ...] = ()
        if journal.phase is not Phase.ISSUED:
            journal, notes = self._request(journal, state, self._enroll)
        return finish(self.context, journal, self._connection, notes=notes)

    def begin(self) -> Outcome | tuple[Journal, DeviceState]:
        """The first step: what an earlier run left to go on with, or a journal that says which key will be made.

        Returns:
            The journal, which is on disk, and the state it began with; or what a device has that is enrolled already.

        Raises:
            DeviceSdkError: as `run`; no server is asked.
        """
        context = self.context
        state = context.state.load()
        check_clock(context.clock.now(), state.time_floor, self.plan.anchors)
        journal = self._left_over(state)
        if journal is None:
            state = context.state.load()
            done = self._already(state)
            if done:
                return done
            journal = self._begin(state)
        return journal, state

    def pick_up(self, target: str | None = None) -> Outcome | None:
        """Finish an enrolment whose answer was lost with the result that the server kept (RFC 8295 section 9; N-03).

        A GET is all that is sent, and no key is made.

        Args:
            target: where the result is; None for /simpleenroll itself.

        Returns:
            What came of it; None if nothing was sent that could have a result, or the server has none.

        Raises:
            DeviceSdkError: as `run`; HttpStatusError may be the server's word that the request was refused.
        """
        from device_sdk.client.est.result import LostRequest

        context = self.context
        state = context.state.load()
        journal = self._left_over(state)
        if journal is None or journal.key_sha256 is None:
            return None

        def ask(
            client: EstClient, key: DeviceKey, spec: CsrSpec, wishes: CsrAttributes, _journal: Journal
        ) -> Enrolled | None:
            lost = LostRequest(key, spec, None, wishes)  # type: ignore[arg-type]  # one of cryptography's
            return client.packages.result(lost, target, **self._connection.waiting)

        notes: tuple[str, ...] = ()
        if journal.phase is not Phase.ISSUED:
            try:
                journal, notes = self._request(journal, state, ask)
            except NothingThereError:
                return None
        return finish(context, journal, self._connection, notes=notes)

    @cached_property
    def _connection(self) -> Connection:
        return Connection.of(self.plan, self.context.clock, self.context.lists())

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
            finish(context, journal, self._connection)
            return None
        if not ours:
            # A renewal under way is none of our business while the certificate it replaces is good.
            if journal.operation is Operation.ENROLL or plan.again or self._expired(state):
                undo(context, journal)
            return None
        journal = replace(journal, renewal_url=plan.renewal_url)
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
        same_server = endpoint is not None and (endpoint.url, endpoint.label) == (self.plan.home, self.plan.label)
        if not same_server or self._uri not in (state.base_key_uri, state.current.key_uri):
            raise ConfigurationError(
                f"{self.context.state.path}: this device is enrolled already, with {state.current.key_uri} at "
                f"{endpoint.url if endpoint else 'an unknown server'}",
                hint="renew the certificate, or enrol again (--again), or take another state directory (--state)",
            )
        return Outcome(state.current.key_uri, self.context.state.chain(state.current.certificate), changed=False)

    def _begin(self, state: DeviceState) -> Journal:
        """Write down which key will be made, before it is made; not where its certificate could not be kept."""
        self.context.require_certificate_place(self._uri)
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
            renewal_url=self.plan.renewal_url,
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

    def _request(self, journal: Journal, state: DeviceState, ask: Ask) -> tuple[Journal, tuple[str, ...]]:
        context, plan, connection = self.context, self.plan, self._connection
        context.require_certificate_place(journal.key_uri)
        if ask == self._enroll:
            if journal.phase is not Phase.PENDING:  # what waits is asked for where it is
                journal = replace(journal, target=self.at.request)
            wait_for_turn(journal, connection.patience)
        opened, trust = self._trusting_client()
        journal = replace(
            journal, implicit=trust.implicit, announce=trust.announce, mac_address=plan.spec.device.mac_address
        )
        with opened as client:
            ca = client.cacerts(**connection.waiting)
            key, journal, wishes, notes = self.key(journal, state, wishes_of(client, self.at, connection))
            with key, forget_refused(context, journal), keep_early(context, journal, ca):
                spec = plan.spec
                if context.establishes:
                    spec, wishes = for_key_establishment(spec, wishes, key)
                enrolled = ask(client, key, spec, wishes, journal)
                if enrolled is None:
                    raise NothingThereError
        return remember_issued(context, journal, enrolled, ca), (*notes, *enrolled.differences)

    def _enroll(
        self, client: EstClient, key: DeviceKey, spec: CsrSpec, wishes: CsrAttributes, journal: Journal
    ) -> Enrolled:
        return client.enroll(
            key,  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys
            spec,
            target=journal.target,
            wishes=wishes,
            wait_s=self._connection.patience.left_s(),
            progress=remember_pending(self.context, journal, client, self.plan.progress),
            pending=earlier_request(journal),
        )

    def key(
        self, journal: Journal, state: DeviceState, wishes: CsrAttributes
    ) -> tuple[DeviceKey, Journal, CsrAttributes, tuple[str, ...]]:
        """The key to certify: made now, made by an earlier run, or there before.

        Args:
            journal: what `begin` gave.
            state: what it gave with it.
            wishes: the server's.

        Returns:
            The key, which the caller closes; the journal, on disk, that knows it; the wishes that are left for the request;
            what a person should know.

        Raises:
            DeviceSdkError: as `run`; no server is asked.
        """
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

    def _trusting_client(self) -> tuple[EstClient, ServerTrust]:
        """A client whose first operation shows whether the server is the one that was meant, and what it will be trusted by."""
        plan = self.plan
        if self.context.main is not None:
            endpoint, trust = self.context.service()
            return self._connection.client(endpoint, trust, plan.identity), replace(trust, announce=endpoint.announce)
        if plan.pins or plan.confirm:
            return self._connection.bootstrapped(), ServerTrust()
        known = plan.anchors or plan.srp
        trust = ServerTrust(plan.anchors, plan.implicit) if known else self._found_trust()
        return self._connection.first(trust), trust

    def _found_trust(self) -> ServerTrust:
        """Explicit anchors wherever they can be had (EST-118); from then on they are named to the server (EST-58).

        Only a certificate that leads elsewhere keeps the operating system's anchors. A broken handshake says nothing of what
        the server can show, and anybody on the way can break one.

        Raises:
            TlsError: such a handshake; nothing was made or kept.
        """
        connection = self._connection
        with connection.first(ServerTrust(implicit=True)) as client:
            anchors = client.cacerts(**connection.waiting).anchors
        explicit = ServerTrust(anchors, announce=True)
        try:
            with connection.first(explicit) as client:
                client.cacerts(**connection.waiting)
        except TlsError as error:
            error.hint = f"{error.hint}; {_UNNAMED}" if error.hint else _UNNAMED
            raise
        except ServerNotTrustedError:
            # The service stands behind a public certificate, and its CA is a private one.
            return ServerTrust(anchors, implicit=True)
        return explicit
