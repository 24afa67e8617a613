"""One registration from whatever an earlier run left to the end; killed at any moment, the next run goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from device_sdk.client.cale.client import CaleClient
from device_sdk.client.cale.plan import CaleOutcome, CalePlan
from device_sdk.client.cale.sharing import Fate, destroy, digests_of
from device_sdk.client.device.context import Context
from device_sdk.client.device.generation import absolute, next_key_uri
from device_sdk.client.device.provenance import foreign, is_unborn, make_key, replaced_sha256
from device_sdk.errors import (
    ConfigurationError,
    DeviceSdkError,
    KeyExistsError,
    KeyNotFoundError,
    NotForUsError,
    StateCorruptError,
)
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.keys import KeyType
from device_sdk.protocols.cale.requests import edge_origin
from device_sdk.state import CaleJournal, CaleRegistration, Phase

_DRAFT_S = KeyType.RSA_2048  # the only type the draft knows, so every server does


@dataclass(frozen=True)
class Registering:
    """One run. The state's lock must be held.

    Attributes:
        context: state, keystores, clock.
        name: the application.
        plan: what its owner wants.
        notes: what a person should know in the end.
    """

    context: Context
    name: str
    plan: CalePlan
    notes: list[str] = field(default_factory=list)

    def run(self) -> CaleOutcome:
        """Register; see CaleApplication.register."""
        state = self.context.state
        current = self._current()
        journal = self._left_over(current)
        if journal is None:
            current = self._current()
            journal = self._begin(current)
        if current is None or not _is_switched(journal, current):
            current = self._registered(journal)
            state.save_cale_registration(self.name, current)
        self.notes.extend(let_go(self.context, self.name, journal))
        state.drop_cale_journal(self.name)
        return CaleOutcome(current, (*dict.fromkeys(self.notes), *self._notes(current)))

    def _current(self) -> CaleRegistration | None:
        """The registration in use; a damaged one is none if another is to take its place."""
        try:
            return self.context.state.cale_registration(self.name)
        except StateCorruptError as error:
            if not self.plan.again:
                raise
            self.notes.append(replaced_damage(error))
            return None

    def _begun(self) -> CaleJournal | None:
        """What an earlier run wrote down; likewise."""
        try:
            return self.context.state.cale_journal(self.name)
        except StateCorruptError as error:
            if not self.plan.again:
                raise
            self.notes.append(replaced_damage(error))
            self.context.state.drop_cale_journal(self.name)
            return None

    def _left_over(self, current: CaleRegistration | None) -> CaleJournal | None:
        """What an earlier run left for this one to go on with; what does not fit the plan is finished or undone."""
        context, plan = self.context, self.plan
        journal = self._begun()
        if journal is None:
            return None
        named = plan.key_uri is None or str(absolute(plan.key_uri)) == journal.key_uri
        fits = named and journal.origin == edge_origin(plan.edge_url)
        if current is not None and _is_switched(journal, current):
            if fits:
                return journal
            self.notes.extend(let_go(context, self.name, journal))
            context.state.drop_cale_journal(self.name)
            return None
        lost_name = is_unborn(journal) and context.key_exists(journal.key_uri)
        if not fits or lost_name:
            self.notes.extend(undo(context, journal))
            return None
        return journal

    def _begin(self, current: CaleRegistration | None) -> CaleJournal:
        """Write down which key will be registered, before it is made."""
        if current is not None and not self.plan.again:
            raise ConfigurationError(
                f"{self.context.state.path}: the application {self.name!r} is registered already, at {current.origin}",
                hint="register it again (--again), or give the other one a name of its own (--application)",
            )
        key_uri = self._key_uri(current)
        same = current is not None and self._is_key_of(current, key_uri)
        if current is not None and same and digests_of(self.context, key_uri) == {current.key_sha256}:
            self.notes.append(f"the key is the one that was registered before: {key_uri}")
        taken = not same and self.context.key_exists(key_uri)
        if not same and not taken and self._key_type(current) is None:
            raise KeyNotFoundError(
                f"{key_uri}: there is no such key",
                hint="give the type of a new one (--type), or another name",
                uri=key_uri,
            )
        goes = current if current is not None and current.created_here and not same else None
        derived = current is not None and self.plan.key_uri is None
        journal = CaleJournal(
            application=self.name,
            phase=Phase.REQUEST,
            key_uri=key_uri,
            base_key_uri=(current.base_key_uri or current.key_uri) if current and derived else key_uri,
            created_here=current.created_here if current and same else not taken,
            origin=edge_origin(self.plan.edge_url),
            since=self.context.clock.now(),
            replaces_key_uri=goes.key_uri if goes else None,
            replaces_sha256=goes.key_sha256 if goes else None,
            key_sha256=current.key_sha256 if current and same and current.key_uri != key_uri else None,
        )
        self.context.state.write_journal(journal)
        return journal

    def _is_key_of(self, current: CaleRegistration, key_uri: str) -> bool:
        """Whether a name, perhaps spelt otherwise, is that of the key in use."""
        return current.key_uri == key_uri or (
            current.key_sha256 is not None and digests_of(self.context, key_uri) == {current.key_sha256}
        )

    def _key_uri(self, current: CaleRegistration | None) -> str:
        if self.plan.key_uri is not None:
            return str(absolute(self.plan.key_uri))
        if current is None or not current.key_uri:
            raise ConfigurationError("no key to register", hint="name it (--key)")
        base = current.base_key_uri or current.key_uri
        return str(next_key_uri(base, current.key_uri, (), self.context.key_exists))

    def _key_type(self, current: CaleRegistration | None) -> KeyType | None:
        """What a new key is to be."""
        if self.plan.key_type is not None or current is None:
            return self.plan.key_type
        found = self.context.keys(current.key_uri)
        return (found[0].key_type if found else None) or _DRAFT_S

    def _registered(self, journal: CaleJournal) -> CaleRegistration:
        """Register the journal's key unless that has been done, and prove the registration.

        Raises:
            NotForUsError: what was registered is of no use; its key was destroyed, what was there before stays in use.
        """
        key, journal = self._key(journal)
        with key, self._client(key, journal) as client:
            if journal.phase is not Phase.ISSUED:
                made = self._made(client, journal)
                journal = replace(journal, phase=Phase.ISSUED, guid=made.guid, algorithms=made.algorithms)
                journal = replace(journal, key_sha256=key.info.spki_sha256)
                self.context.state.write_journal(journal)
            try:
                client.whoami()
            except NotForUsError as error:
                key.close()
                undo(self.context, journal)
                error.hint = "the new registration is of no use and was given up; what was there before stays in use"
                raise
        return CaleRegistration(
            guid=journal.guid or "",
            key_uri=journal.key_uri,
            origin=journal.origin,
            registered_at=self.context.clock.now().replace(microsecond=0),
            created_here=journal.created_here,
            key_sha256=journal.key_sha256,
            base_key_uri=journal.base_key_uri,
            algorithms=journal.algorithms,
        )

    def _made(self, client: CaleClient, journal: CaleJournal) -> CaleRegistration:
        try:
            return client.register(self.plan.spec, key_uri=journal.key_uri)
        except DeviceSdkError:
            # nothing was made, so there is nothing to go on with; a key that was made waits for the next run
            if not journal.created_here:
                self.context.state.drop_cale_journal(self.name)
            raise

    def _client(self, key: Any, journal: CaleJournal) -> CaleClient:
        plan = self.plan
        return CaleClient(
            plan.edge_url,
            plan.trust,
            key,
            guid=journal.guid,
            told=journal.algorithms,
            identity=plan.identity,
            credentials=plan.credentials,
            bearer=plan.bearer,
            timeouts=plan.timeouts,
            proxy=plan.proxy,
            policy=plan.policy,
            negotiate=plan.negotiate,
        )

    def _key(self, journal: CaleJournal) -> tuple[DeviceKey, CaleJournal]:
        """The key to register: made now, made by an earlier run, or there before."""
        context, uri = self.context, absolute(journal.key_uri)
        current = self._current()
        ours = journal.created_here and not _in_use(journal, current)
        if ours and journal.phase is not Phase.ISSUED:
            try:
                return make_key(context, journal, uri, self._key_type(current) or _DRAFT_S)
            except KeyExistsError as error:
                error.hint = "it was left as it is: name another key (--key)"
                raise
        key = context.open_key(uri, made_here=ours)
        if journal.key_sha256 not in (None, key.info.spki_sha256):
            key.close()
            raise foreign(journal.key_uri)
        if not ours and current is not None and current.key_sha256 not in (None, key.info.spki_sha256):
            journal = replace(journal, created_here=False)  # another key has taken the place of ours
        return key, journal

    def _notes(self, registration: CaleRegistration) -> tuple[str, ...]:
        device = self.context.state.load().current
        if device is None:
            return ()
        digest = registration.key_sha256
        same = digest is not None and digest == replaced_sha256(self.context, device)
        if not same and device.key_uri != registration.key_uri:
            return ()
        return ("this is the device's own key: a renewal with a new key takes it away; --key gives it one of its own",)


def another_key(current: CaleRegistration, named: str) -> str | None:
    """The key that is to take the place of the registered one, as CalePlan has it: None for the next one.

    That is what is meant by the name of the registered key, and by that of the first one, which all later names come from: so
    the same words mean the next key before and after a registration, and finish one that was killed between.

    Raises:
        UriError: that is no key URI.
    """
    if not current.key_uri:
        return named  # of a registration whose key no keystore opens, there is no next one
    known = [_which(one) for one in (current.key_uri, current.base_key_uri) if one]
    return None if _which(named) in known else named


def _which(uri: str) -> str:
    """A key's name, wherever its PIN is."""
    from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

    found = absolute(uri)
    if isinstance(found, Pkcs11Uri):
        found = replace(found, object_type=None)
    return str(replace(found, pin_source=None, pin_value=None))  # type: ignore[type-var]  # every KeyUri is a dataclass


def _is_switched(journal: CaleJournal, current: CaleRegistration) -> bool:
    """Whether the registration in use is the journal's, so that only cleaning up is left."""
    return journal.phase is Phase.ISSUED and current.guid == journal.guid


def _in_use(journal: CaleJournal, current: CaleRegistration | None) -> bool:
    """Whether the key to be registered is the one that is registered now."""
    if current is None:
        return False
    digest = journal.key_sha256
    return current.key_uri == journal.key_uri or (digest is not None and digest == current.key_sha256)


def let_go(context: Context, name: str, journal: CaleJournal) -> tuple[str, ...]:
    """Destroy the key of the registration that was replaced, if it is proved to be the SDK's own and nobody needs it."""
    uri, sha256 = journal.replaces_key_uri, journal.replaces_sha256
    if uri is None or uri == journal.key_uri or (sha256 is not None and sha256 == journal.key_sha256):
        return ()
    fate = destroy(context, name, uri, sha256=sha256)
    return () if fate in (Fate.GONE, Fate.NEEDED) else (fate.words(uri),)


def undo(context: Context, journal: CaleJournal) -> tuple[str, ...]:
    """Destroy the key the journal announced, if it is proved to be ours and nobody needs it; then drop the journal.

    Returns:
        Why the key is still there, if it could have been expected to go.

    Raises:
        KeyStoreError: the key cannot be destroyed; the journal stays.
    """
    name = journal.application
    made = journal.key_sha256 is not None or journal.key_id is not None
    fate = Fate.GONE
    try:
        mine = journal.created_here and made and not _in_use(journal, context.state.cale_registration(name))
    except StateCorruptError:
        fate, mine = Fate.UNREADABLE, False
    if mine:
        fate = destroy(context, name, journal.key_uri, sha256=journal.key_sha256, key_id=journal.key_id)
    context.state.drop_cale_journal(name)
    return () if fate in (Fate.GONE, Fate.NEEDED) else (fate.words(journal.key_uri),)


def replaced_damage(error: StateCorruptError) -> str:
    """What to say about a damaged file that nobody needs any more."""
    return f"{error.message}; it is not needed any more. A key that only it names, if one was made, is still there"
