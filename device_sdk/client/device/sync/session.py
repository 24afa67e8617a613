"""The connection of one sync: with the certificate in use, and anew when that is another one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

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
from device_sdk.state import OutboxMessage


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
        self.lists = self._kept()
        """The revocation lists that are held."""
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

    @property
    def sent(self) -> tuple[OutboxMessage, ...]:
        """All that was delivered so far."""
        return self._sent

    def close(self) -> None:
        """Let go of connection and key; both are opened anew when they are needed."""
        self._client = None
        self._opened.close()

    def anew(self) -> None:
        """Other servers are trusted from now on: connect again, and check everything against what is trusted now."""
        self.close()
        self._ca = None

    def _kept(self) -> tuple[x509.CertificateRevocationList, ...]:
        """Lists that cannot be read are no reason not to fetch others."""
        try:
            return self._context.state.packages.lists()
        except StateCorruptError as error:
            self.notes = (error.message,)
            return ()
