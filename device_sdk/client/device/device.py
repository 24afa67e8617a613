"""A device and its identity: the five steps from a key to a certificate, and every one after it."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.client.device.clock import check_clock
from device_sdk.client.device.current import enrolled
from device_sdk.client.device.decision import DEFAULT_THRESHOLD, anchors_due, decide
from device_sdk.client.device.plan import EnrolmentPlan, Outcome, RenewalDecision, RenewalPlan
from device_sdk.client.device.status import DeviceStatus
from device_sdk.errors import StateError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.keystores.registry import open_key
from device_sdk.model.secret import SecretProvider
from device_sdk.model.trust import TlsIdentity
from device_sdk.state import StateDirectory

if TYPE_CHECKING:
    # Timers ask needs_renewal every hour: what only a conversation with a server needs is imported when there is one.
    from device_sdk.client.device.context import Context
    from device_sdk.client.device.delivery import Delivery
    from device_sdk.client.device.managed import ManagedOutcome
    from device_sdk.client.device.sync.deliveries import Deliveries
    from device_sdk.client.device.sync.report import SyncReport, Told
    from device_sdk.client.est import Clock


class Device:
    """One device: a state directory and the keystore its key URI names.

    Enrolment and renewal may be killed at any moment; the same call later goes on where they stopped, with the same key.

    Args:
        state_dir: the state directory; made by the first enrolment.
        pin: asked for PINs that the key URI does not lead to.
        clock: the time.
        lock_wait_s: how long to wait for another process that changes the directory, in seconds.
        allow_imported: whether the device may have a key that was put into its hardware from outside (KeyStore.open).
    """

    def __init__(
        self,
        state_dir: str | os.PathLike[str],
        *,
        pin: SecretProvider | None = None,
        clock: Clock | None = None,
        lock_wait_s: float = 0.0,
        allow_imported: bool = False,
    ) -> None:
        self._state = StateDirectory(state_dir)
        self._pin = pin
        self._clock = clock
        self._lock_wait_s = lock_wait_s
        self._allow_imported = allow_imported

    @property
    def state(self) -> StateDirectory:
        """The state directory."""
        return self._state

    def enroll(self, plan: EnrolmentPlan) -> Outcome:
        """Make a key, get a certificate for it, and put both into use; an enrolled device stays as it is.

        The key's name is on disk before the key exists, the certificate is on disk before it is used (RFC 7030
        sections 4.1, 4.2.1, 4.5; EST-118, EST-139). With known trust anchors all of it takes one TLS connection.

        Raises:
            ConfigurationError: the device is enrolled with another key or server already, or the plan cannot work.
            KeyExistsError: a key of that name is there and is not ours.
            EnrolmentPendingError: accepted, not issued yet; the same call goes on later (EST-164).
            ClockError: this machine's clock cannot be right; a certificate that is not valid yet is kept, and the same call
                finishes with it later (EST-139).
            StateBusyError, StateNotWritableError, StateCorruptError: the state directory.
            FingerprintMismatchError, ServerNotTrustedError, ServerNotAuthorizedError: not the server that was meant.
            HttpStatusError, RemoteProtocolError, TransportError: the server refused, broke the protocol, or is away.
            KeyStoreError: the token, the TPM or the key file.
        """
        with self.state.exclusive(self._lock_wait_s):
            from device_sdk.client.device.enrol import Enrolment

            with self._context(plan.key_uri).running() as context:
                return Enrolment(context, plan).run()

    def enrolment_result(self, plan: EnrolmentPlan, target: str | None = None) -> Outcome | None:
        """Finish an enrolment whose answer was lost, or that was not decided, with what the server kept (RFC 8295 section 9).

        Whoever was asked for credentials then shows them again (N-02); a GET is all that is sent, no key is made. `enroll`
        finishes it, too, by asking again.

        Args:
            plan: that of the enrolment.
            target: where the result is, from an entry 0008 or 0009 of a package list; None for /simpleenroll.

        Returns:
            What came of it; None if nothing was sent from here that could have a result, or the server has none.

        Raises:
            HttpStatusError: the request was refused, among others.
            DeviceSdkError: as for `enroll`.
        """
        with self.state.exclusive(self._lock_wait_s):
            from device_sdk.client.device.enrol import Enrolment

            with self._context(plan.key_uri).running() as context:
                return Enrolment(context, plan).pick_up(target)

    def renew(self, plan: RenewalPlan | None = None, *, key_establishment: bool = False) -> Outcome:
        """Get the next certificate, by default for a new key, authenticated by TLS with the present one.

        Trust anchors are refreshed first (EST-113, EST-122). The new pair is proved by a TLS connection before it
        replaces the old one, and the old one goes only after that (EST-157). See RFC 7030 section 4.2.2.

        Args:
            plan: how the server is reached, and what the renewal is to be like.
            key_establishment: renew the second certificate, which `sync` got. The present one authenticates that, too; the
                replaced key is kept until its certificate ends, as packages on their way are encrypted to it.

        Raises:
            StateError: the device is not enrolled, or has no such certificate; or an enrolment is under way.
            DeviceSdkError: as for `enroll`; whatever fails, the old pair stays in use.
        """
        with self.state.exclusive(self._lock_wait_s):
            from device_sdk.client.device.renew import Renewal

            plan = plan or RenewalPlan()
            with self._context(plan.key_uri).running() as context:
                if key_establishment:
                    from device_sdk.client.device.key_establishment import KeyEstablishment

                    self._second()
                    return KeyEstablishment(context, plan).run()
                return Renewal(context, plan).run()

    def refresh_anchors(self, plan: RenewalPlan | None = None) -> Outcome:
        """Fetch the CA certificates again, and follow the CA to another key if it has one (EST-113, EST-122).

        Key and certificate stay as they are; `renew` does the same on its way. Where the trust anchors of this device do
        not lead to the server any more, only a new enrolment with a fingerprint of the CA helps (EST-125).

        Args:
            plan: how the server is reached: credentials, timeouts, proxy.

        Raises:
            StateError: the device is not enrolled.
            DeviceSdkError: as for `enroll`; whatever fails, the anchors stay as they were.
        """
        with self.state.exclusive(self._lock_wait_s):
            from device_sdk.client.device.anchors import AnchorRefresh

            with self._context().running() as context:
                return AnchorRefresh(context, plan or RenewalPlan()).run()

    def sync(
        self,
        plan: RenewalPlan | None = None,
        *,
        deliveries: Deliveries | None = None,
        told: Told | None = None,
        limit_s: float = 3600.0,
    ) -> SyncReport:
        """Ask the server what it has for this device, and do what it asks for, as far as this version can (RFC 8295).

        Trust anchors, revocation lists and certificates of peers are fetched, checked and kept; the certificate is renewed
        if an entry is about it; keys, firmware and messages about trust anchors are dealt with once, and the server is told
        what became of them. What fails is in the report and stops nothing but what relies on it. Killed at any moment,
        the next run goes on with the steps that were left.

        Args:
            plan: how the server is reached, and what a renewal is to be like.
            deliveries: where symmetric keys and firmware go; what is not in there is reported as not configured.
            told: told of each step when it begins and when it ends.
            limit_s: seconds after which no further step is begun: each is reported as failed, and the next run goes on with it.

        Raises:
            StateError: the device is not enrolled.
            DeviceSdkError: as for `enroll`, if there is no list, or the state directory cannot be written.
        """
        with self.state.exclusive(self._lock_wait_s):
            from device_sdk.client.device.sync import Deliveries, Sync

            plan = plan or RenewalPlan()
            with self._context(plan.key_uri).running() as context:
                return Sync(context, plan, told, deliveries or Deliveries(), limit_s).run()

    def sync_plan(self, plan: RenewalPlan | None = None, *, deliveries: Deliveries | None = None) -> SyncReport:
        """What `sync` would do now: only the list is fetched, nothing is changed. Raises as `sync`."""
        from device_sdk.client.device.sync import Deliveries, Sync

        with self._context().running() as context:
            return Sync(context, plan or RenewalPlan(), deliveries=deliveries or Deliveries()).look()

    def manage_anchors(self, target: str | None = None, plan: RenewalPlan | None = None) -> ManagedOutcome | None:
        """Ask the server for a message about trust anchors, do what it says, and answer it, signed (RFC 8295 section 7, RFC 5934).

        Who may say anything is in the state directory (`state.managed`). What is done, and the number of the message, are kept
        in one step with the answer; that is sent now or, if the server cannot be reached, later.

        Args:
            target: the request target of an entry of the package list; by default what the server gives without a name.
            plan: how the server is reached: credentials, timeouts, proxy.

        Returns:
            What was done; None if the server has nothing.

        Raises:
            TampRefusedError: the message is refused: nothing was changed, and the server is told why.
            StateError: the device is not enrolled, or nobody may manage its anchors.
            DeviceSdkError: as for `enroll`.
        """
        with self.state.exclusive(self._lock_wait_s):
            return self._managing(target, plan, apply=True)

    def anchor_plan(self, target: str | None = None, plan: RenewalPlan | None = None) -> ManagedOutcome | None:
        """What `manage_anchors` would do now: the message is fetched and checked, nothing is changed and nothing answered.

        Raises as `manage_anchors`.
        """
        return self._managing(target, plan, apply=False)

    def _managing(self, target: str | None, plan: RenewalPlan | None, *, apply: bool) -> ManagedOutcome | None:
        from device_sdk.client.device.managing import AnchorManagement
        from device_sdk.client.device.sync.session import Session

        with self._context().running() as context, closing(Session(context, plan or RenewalPlan())) as session:
            management = AnchorManagement(context, session)
            if not apply:
                return management.look(target)
            session.deliver()  # an answer that a power cut left: until it is there the server has the same message again
            return management.run(target)

    def deliver(self, plan: RenewalPlan | None = None) -> Delivery:
        """Send the receipts, confirms and errors that the server has not taken yet, as `sync` does, and nothing else.

        Args:
            plan: how the server is reached: credentials, timeouts, proxy.

        Raises:
            StateError: the device is not enrolled, or the state directory cannot be read or changed.
            DeviceSdkError: the key cannot be opened.
        """
        with self.state.exclusive(self._lock_wait_s):
            from device_sdk.client.device.sync.session import Session

            with self._context().running() as context, closing(Session(context, plan or RenewalPlan())) as session:
                return session.deliver()

    def abandon(self, *, key_establishment: bool = False) -> bool:
        """Give up what is under way: its key is destroyed if it is proved to be made for it. False if nothing was.

        Args:
            key_establishment: what is under way for the second certificate.

        Raises:
            KeyStoreError: the key cannot be destroyed; nothing was changed.
            StateBusyError, StateNotWritableError, StateCorruptError: the state directory.
        """
        with self.state.exclusive(self._lock_wait_s):
            state = self.state.key_establishment if key_establishment else self.state
            journal = state.journal()
            if journal is not None:
                from device_sdk.client.device.undo import undo

                with self._context().running() as context, state.exclusive():
                    undo(context.beside(state) if key_establishment else context, journal)
            return journal is not None

    def needs_renewal(
        self, now: datetime | None = None, threshold: float = DEFAULT_THRESHOLD, *, key_establishment: bool = False
    ) -> RenewalDecision:
        """Whether to renew now: after this share of the lifetime, when expired, or when a renewal was interrupted.

        Or, with `anchors_only`, whether it is time for `refresh_anchors`: two thirds of the way to the end of the first CA
        certificate that ends (EST-113).

        Args:
            now: the present, by default the clock's.
            threshold: share of the lifetime, above 0 and at most 1.
            key_establishment: whether to renew the second certificate; it has no CA certificates of its own.

        Raises:
            StateError: not enrolled, no such certificate, or the state directory cannot be read.
            ClockError: the clock is before the last known good time, so that it cannot say.
            ConfigurationError: a threshold that is none.
        """
        state, chain, anchors = self.state.snapshot()
        enrolled(self._state, state)
        now = now or self._now()
        check_clock(now, state.time_floor)
        if key_establishment:
            self._second()
            second = self.state.key_establishment
            return decide(second.snapshot()[1], second.journal(), now, threshold)
        due = anchors_due(state, chain, self.state.managed.unmanaged(anchors))
        return decide(chain, self.state.journal(), now, threshold, due)

    def status(self) -> DeviceStatus:
        """What the state directory says; asks no keystore and no server. Raises StateError if it cannot be read."""
        state, chain, anchors = self.state.snapshot()
        from device_sdk.client.device.kept import Kept

        kept = Kept.readable(self.state.packages, self._now())
        return DeviceStatus(self.state, state, self.state.journal(), chain, anchors, self.state.check(), kept)

    @property
    def certificate(self) -> x509.Certificate:
        """The current certificate; StateError if the device is not enrolled."""
        return self.chain[0]

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The current certificate and its intermediates, leaf first; StateError if the device is not enrolled."""
        state, chain, _ = self.state.snapshot()
        enrolled(self._state, state)
        return chain

    @property
    def anchors(self) -> tuple[x509.Certificate, ...]:
        """The Explicit trust anchors, also for other peers (EST-119); StateError if the device is not enrolled."""
        state, _, anchors = self.state.snapshot()
        enrolled(self._state, state)
        return anchors

    @property
    def revocation_lists(self) -> tuple[x509.CertificateRevocationList, ...]:
        """The revocation lists that `sync` kept, stale ones, too; StateError if they cannot be read."""
        return self.state.packages.lists()

    @property
    def peers(self) -> tuple[x509.Certificate, ...]:
        """The certificates of peers that `sync` kept; without those that ended or are on a list since.

        Raises:
            StateError: they, or the revocation lists, cannot be read.
        """
        from device_sdk.client.device.kept import Kept

        return Kept.read(self.state.packages, self._now()).peers

    @property
    def key_establishment_chain(self) -> tuple[x509.Certificate, ...]:
        """The second certificate, for key establishment, and its intermediates; empty if there is none. Raises StateError."""
        return self.state.key_establishment.snapshot()[1]

    def _second(self) -> None:
        if self.state.key_establishment.load().current is None:
            raise StateError(
                f"{self.state.path}: this device has no certificate for key establishment",
                hint="device-sdk sync gets one when the server asks for it, and key_establishment.key is set",
                path=str(self.state.path),
            )

    def key(self) -> DeviceKey:
        """Open the current key; the caller closes it.

        Raises:
            StateError: the device is not enrolled.
            KeyStoreError: the key cannot be opened.
        """
        current, _ = enrolled(self._state, self.state.load())
        return open_key(current.key_uri, pin=self._pin, allow_imported=self._allow_imported)

    def tls_identity(self) -> TlsIdentity:
        """Key and chain of the same moment, for TLS client authentication; the caller closes the key. Raises as `key`."""
        state, chain, _ = self.state.snapshot()
        current, _ = enrolled(self._state, state)
        key = open_key(current.key_uri, pin=self._pin, allow_imported=self._allow_imported)
        return TlsIdentity(chain, key)  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's keys

    def _now(self) -> datetime:
        return self._clock.now() if self._clock else datetime.now(UTC)

    def _context(self, key_uri: str | None = None) -> Context:
        from device_sdk.client.device.context import Context
        from device_sdk.client.device.generation import absolute
        from device_sdk.client.est import Clock

        given = absolute(key_uri) if key_uri is not None else None
        return Context(self._state, self._pin, self._clock or Clock(), given, self._allow_imported)
