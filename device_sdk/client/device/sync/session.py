"""The connection of one sync: with the certificate in use, and anew when that is another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeVar

from cryptography import x509

from device_sdk.client.device.anchors import explained
from device_sdk.client.device.connection import Connection
from device_sdk.client.device.context import Context
from device_sdk.client.device.current import enrolled
from device_sdk.client.device.delivery import Delivery, deliver
from device_sdk.client.device.plan import RenewalPlan
from device_sdk.client.est import CaCertificates, EstClient
from device_sdk.errors import ServerNotTrustedError, StateCorruptError, StateError
from device_sdk.model.trust import ServerTrust, TlsIdentity
from device_sdk.protocols.pal import SyncPlan
from device_sdk.state import KeptPackages, OutboxMessage
from device_sdk.wire.revocation import Edition

_Kept = TypeVar("_Kept", x509.Certificate, x509.CertificateRevocationList)


class Session:
    """What the steps of a sync have in common.

    Args:
        context: the device.
        plan: how the server is reached.
    """

    def __init__(self, context: Context, plan: RenewalPlan) -> None:
        self._context = context
        self._opened = ExitStack()
        self._client: EstClient | None = None
        self._ca: CaCertificates | None = None
        self.notes: tuple[str, ...] = ()
        self._sent: tuple[OutboxMessage, ...] = ()
        self._relieving = True
        packages = context.state.packages
        self.lists = self._kept(packages.lists)
        """The revocation lists that are held."""
        self.signer_lists = self._kept(packages.signer_lists)
        """Those that concern nobody but whoever signs packages."""
        self.list_issuers = self._kept(packages.issuers)
        """The CA certificates that both lead through."""
        self.editions = self._editions(packages)
        """The newest list of each authority that was ever held."""
        self.connection = Connection.of(plan, context.clock)

    @property
    def waiting(self) -> dict[str, Any]:
        """Arguments of the operations: what is left of the deadline, and who is told."""
        return self.connection.waiting

    @property
    def client(self) -> EstClient:
        """The EST client; connects at its first operation."""
        if self._client is None:
            context = self._context
            state = context.state.load()
            current, endpoint = enrolled(context.state, state)
            chain = context.state.chain(current.certificate)
            key = self._opened.enter_context(context.open_key(current.key_uri))
            trust = ServerTrust(context.state.anchors(state.anchors or ""), endpoint.implicit)
            identity = TlsIdentity(chain, key)  # type: ignore[arg-type]  # every DeviceKey is one of cryptography's
            self._client = self._opened.enter_context(
                replace(self.connection, lists=self.lists).client(endpoint, trust, identity)
            )
        return self._client

    @property
    def identity(self) -> TlsIdentity:
        """Certificate and key of the device."""
        if self.client.identity is None:
            raise StateError("not reached: an enrolled device has an identity")
        return self.client.identity

    @property
    def ca(self) -> CaCertificates:
        """The CA certificates, fetched and checked once: everything else is checked against them."""
        if self._ca is None:
            found = self.client.cacerts(**self.waiting)
            # what messages removed does not come back by an answer (RFC 5934), what they added is there anyway
            self._ca = replace(found, anchors=self._context.state.managed.explicit(found.anchors))
        return self._ca

    def url(self, target: str) -> str:
        """Where a step leads."""
        return f"{self.client.endpoint.origin}{target}"

    def list(self) -> SyncPlan:
        """What the server has; raises as Packages.list."""
        try:
            return self.client.packages.list(**self.waiting)
        except ServerNotTrustedError as error:
            context = self._context
            anchors = context.state.anchors(context.state.load().anchors or "")
            raise explained(error, anchors, context.clock.now()) from error.__cause__

    def deliver(self) -> Delivery:
        """Send what waits in the outbox; raises as device_sdk.client.device.delivery.deliver."""
        outbox = self._context.state.outbox
        if not outbox.pending():
            return Delivery(dropped=outbox.dropped(), notes=tuple(error.message for error in outbox.damage()))
        delivery = deliver(self._context.state, self.client, **self.waiting)
        self._sent += delivery.sent
        return delivery

    def relieve(self) -> None:
        """Send what waits before there is no room for more, once it is much; raises as `deliver`.

        What a server does not take now is tried again at the end of the run, not after each step.
        """
        if self._relieving and self._context.state.outbox.is_half_full:
            self._relieving = not self.deliver().waiting

    @property
    def sent(self) -> tuple[OutboxMessage, ...]:
        """All that was delivered so far."""
        return self._sent

    def keep_lists(
        self,
        lists: tuple[x509.CertificateRevocationList, ...],
        signer_lists: tuple[x509.CertificateRevocationList, ...],
        issuers: Iterable[x509.Certificate],
        editions: Mapping[str, Edition],
    ) -> None:
        """Hold these lists from now on, and the CA certificates that they lead through; raises as KeptPackages.save_lists."""
        packages, needed = self._context.state.packages, tuple(issuers)
        # what is held goes behind what is gone, of which the oldest are forgotten
        self.editions = {name: one for name, one in self.editions.items() if name not in editions} | dict(editions)
        packages.save_editions(self.editions)  # first: a list that came may be fetched again, and is no older one
        # one more than needed is no harm, a list without its CA would be dropped after a power cut
        packages.save_issuers(dict.fromkeys((*self.list_issuers, *needed)))
        packages.save_lists(lists)
        packages.save_signer_lists(signer_lists)
        packages.save_issuers(needed)
        self.lists, self.signer_lists, self.list_issuers = lists, signer_lists, needed

    def close(self) -> None:
        """Let go of connection and key; both are opened anew when they are needed."""
        self._client = None
        self._opened.close()

    def anew(self) -> None:
        """Other servers are trusted from now on: connect again, and check everything against what is trusted now."""
        self.close()
        self._ca = None

    def _editions(self, packages: KeptPackages) -> dict[str, Edition]:
        try:
            return packages.editions()
        except StateCorruptError as error:
            self.notes = (*self.notes, error.message)
            return {}

    def _kept(self, read: Callable[[], tuple[_Kept, ...]]) -> tuple[_Kept, ...]:
        """What cannot be read is no reason not to fetch it anew."""
        try:
            return read()
        except StateCorruptError as error:
            self.notes = (*self.notes, error.message)
            return ()
