"""The CA certificates of a device that has a certificate: fetched again before they end (EST-113), rolled over (EST-122)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from device_sdk.client.device.clock import check_clock
from device_sdk.client.device.connection import Connection
from device_sdk.client.device.context import Context
from device_sdk.client.device.current import enrolled
from device_sdk.client.device.plan import Outcome, RenewalPlan
from device_sdk.client.est import CaCertificates
from device_sdk.errors import ServerNotTrustedError
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.state import DeviceState


@dataclass(frozen=True)
class AnchorRefresh:
    """One refresh. The state's lock must be held.

    It needs no journal: until state.json is replaced, in one step, nothing names the new anchors, and after it nothing is
    left to do.

    Attributes:
        context: the device.
        plan: how the server is reached; what it says about keys and requests does not count.
    """

    context: Context
    plan: RenewalPlan

    def run(self) -> Outcome:
        """Fetch and check the CA certificates, and make their anchors the device's; see Device.refresh_anchors."""
        context = self.context
        state = context.state.load()
        current, _ = enrolled(context.state, state)
        check_clock(context.clock.now(), state.time_floor)
        before = context.state.anchors(state.anchors or "")
        return self.keep(self._fetch(state, context.state.chain(current.certificate), before))

    def keep(self, ca: CaCertificates) -> Outcome:
        """Make checked CA certificates the device's.

        Args:
            ca: what its server answered, checked against its anchors.
        """
        context = self.context
        state = context.state.load()
        current, _ = enrolled(context.state, state)
        before = context.state.own_anchors(state.anchors or "")
        chain = context.state.chain(current.certificate)
        own = context.state.managed.unmanaged(ca.anchors)
        name = context.state.add_anchors(own) if own or not state.anchors else state.anchors
        context.state.save(replace(state, anchors=name, anchors_checked=context.clock.now()))
        context.state.tidy()
        notes = _notes(before, replace(ca, anchors=context.state.own_anchors(name)))
        return Outcome(current.key_uri, chain, changed=name != state.anchors, notes=notes)

    def _fetch(
        self, state: DeviceState, chain: tuple[x509.Certificate, ...], anchors: tuple[x509.Certificate, ...]
    ) -> CaCertificates:
        context, plan = self.context, self.plan
        current, endpoint = enrolled(context.state, state)
        connection = Connection.of(plan, context.clock, context.lists())
        # with the certificate: some servers let nobody else in, although they should (EST-111)
        with context.open_key(current.key_uri) as key:
            identity = TlsIdentity(chain, key)  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's
            try:
                with connection.client(endpoint, ServerTrust(anchors, endpoint.implicit), identity) as client:
                    return client.cacerts(**connection.waiting)
            except ServerNotTrustedError as error:
                raise explained(error, anchors, context.clock.now()) from error.__cause__


def explained(
    error: ServerNotTrustedError, anchors: Iterable[x509.Certificate], now: datetime
) -> ServerNotTrustedError:
    """The same error, and what is left to do where the anchors cannot lead to the server any more (EST-125)."""
    anchors = tuple(anchors)
    if anchors and all(anchor.not_valid_after_utc < now for anchor in anchors):
        error.hint = "every trust anchor has expired: enrol anew with the CA's present fingerprint (device-sdk enroll --again --pin)"
    else:
        moved = (
            "if the CA has another key since this device was last here: enrol anew with its fingerprint "
            "(device-sdk enroll --again --pin)"
        )
        error.hint = f"{error.hint}; {moved}" if error.hint else moved
    return error


def _notes(before: tuple[x509.Certificate, ...], ca: CaCertificates) -> tuple[str, ...]:
    """What a person should know: which anchors came and went, and what was not believed."""
    new = [f"new trust anchor {_shown(one)}" for one in ca.anchors if one not in before]
    gone = [f"trust anchor no longer used: {_shown(one)}" for one in before if one not in ca.anchors]
    ignored = [f"ignored {_shown(one.certificate)}: {one.reason}" for one in ca.ignored]
    return (*new, *gone, *ignored)


def _shown(certificate: x509.Certificate) -> str:
    from device_sdk.state.pem import fingerprint
    from device_sdk.wire.path import name_of

    return f"{name_of(certificate)}, sha256:{fingerprint(certificate)}"
