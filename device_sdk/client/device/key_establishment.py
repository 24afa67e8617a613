"""The second certificate of a device, for key establishment, beside the one for signatures (RFC 8295 sections 2.1.1 and 9).

It has a state directory of its own inside the device's, so that its enrolments and renewals are kept and killed like those of
the first. Whom to trust, whom to ask and what to show is the device's: a certificate for key establishment alone signs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509

from device_sdk.client.device.context import Context
from device_sdk.client.device.enrol import Enrolment
from device_sdk.client.device.plan import EnrolmentPlan, Outcome, RenewalPlan
from device_sdk.client.device.provenance import certified_sha256, delete_own
from device_sdk.client.device.renew import Renewal
from device_sdk.client.device.request import ANYWHERE, AskedAt
from device_sdk.client.est.renewal import alternative_names
from device_sdk.errors import ConfigurationError
from device_sdk.model.csr import CsrSpec, DeviceAttributes
from device_sdk.state import IdentityRecord, Operation, StateDirectory

if TYPE_CHECKING:
    from device_sdk.client.device.sync.deliveries import KeyEstablishmentDelivery


@dataclass(frozen=True)
class KeyEstablishment:
    """One run about the second certificate. The device is enrolled, and its state's lock is held.

    Attributes:
        context: the device.
        plan: how the server is reached, and what a renewal is to be like.
        wish: which key is made for the first one; None makes none.
    """

    context: Context
    plan: RenewalPlan
    wish: KeyEstablishmentDelivery | None = None

    @property
    def state(self) -> StateDirectory:
        """Where it is kept."""
        return self.context.state.key_establishment

    def run(self, at: AskedAt = ANYWHERE) -> Outcome:
        """Get the first one, or the next (N-01); what was interrupted is gone on with. The old key still opens packages.

        Args:
            at: where the server is asked; by Full CMC the next one only, in a message that the certificate for signatures
                signs, as there is no package type that asks for the first one so.

        Raises:
            ConfigurationError: there is none yet, and nothing says where its key is to be.
            DeviceSdkError: as Device.enroll and Device.renew.
        """
        with self.state.exclusive():
            if self.state.load().current is None:
                with self._first(at) as first:
                    return first.run()
            second = self.context.beside(self.state)
            outcome = Renewal(second, self._renewal, at).run()
            return replace(outcome, notes=(*outcome.notes, *self._let_go(second)))

    def pick_up(self, target: str) -> Outcome | None:
        """Finish what is under way by the result that the server kept; see Enrolment.pick_up and Renewal.pick_up (N-03).

        Raises as `run`.
        """
        with self.state.exclusive():
            journal = self.state.journal()
            if journal is None:
                return None
            if journal.operation is Operation.ENROLL:
                with self._first() as first:
                    return first.pick_up(target)
            return Renewal(self.context.beside(self.state), self._renewal).pick_up(target)

    @property
    def _renewal(self) -> RenewalPlan:
        # packages on their way are encrypted to the certificate before
        return replace(self.plan, keep_old=True, key_uri=None, key_type=None, new_name=None, mac_address=None)

    @contextmanager
    def _first(self, at: AskedAt = ANYWHERE) -> Iterator[Enrolment]:
        if self.wish is None:
            raise ConfigurationError(
                "nothing says where the key of a certificate for key establishment is to be",
                hint="set key_establishment.key",
            )
        wish, plan, context = self.wish, self.plan, self.context
        endpoint, trust = context.service()
        with context.identity() as identity:
            own = identity.chain[0]
            enrolment = EnrolmentPlan(
                url=endpoint.url,
                label=endpoint.label,
                key_uri=wish.key,
                key_type=wish.key_type,
                spec=CsrSpec(
                    own.subject,
                    san=alternative_names(own),
                    device=DeviceAttributes(mac_address=context.state.load().mac_address),
                    values=plan.values,
                ),
                anchors=trust.explicit,
                implicit=trust.implicit,
                identity=identity,
                credentials=plan.credentials,
                timeouts=plan.timeouts,
                proxy=plan.proxy,
                wait_s=plan.wait_s,
                retry=plan.retry,
                redirects=plan.redirects,
                progress=plan.progress,
                compatibility=plan.compatibility,
            )
            yield Enrolment(context.beside(self.state, wish.key), enrolment, at)

    def _let_go(self, second: Context) -> tuple[str, ...]:
        """Destroy the keys of certificates that ended: nobody encrypts to them any more."""
        now, notes = self.context.clock.now(), []
        for record in self.state.load().previous:
            chain = self.state.chain(record.certificate)
            if chain[0].not_valid_after_utc > now or not record.created_here:
                continue
            if not delete_own(second, record.key_uri, sha256=certified_sha256(second, record)):
                notes.append(f"{record.key_uri}: there is a key of that name that is not proved to be the replaced one")
            self._forget(record)
        return tuple(notes)

    def _forget(self, record: IdentityRecord) -> None:
        state = self.state.load()
        self.state.save(replace(state, previous=tuple(one for one in state.previous if one != record)))
        self.state.tidy()


def certificate_of(state: StateDirectory) -> x509.Certificate | None:
    """The certificate for key establishment of a device, or None; raises as StateDirectory.chain."""
    second = state.key_establishment
    current = second.load().current
    return None if current is None else second.chain(current.certificate)[0]


def opening_keys(state: StateDirectory) -> tuple[str, ...]:
    """URIs of the keys that packages for the second certificate, or one before it, are encrypted to; the present one first."""
    found = state.key_establishment.load()
    return tuple(record.key_uri for record in (found.current, *found.previous) if record)
