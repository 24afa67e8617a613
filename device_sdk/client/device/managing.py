"""Messages about trust anchors for one device: fetched, checked, done and answered (RFC 8295 section 7)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509

from device_sdk.client.device.context import Context
from device_sdk.client.device.delivery import Delivery
from device_sdk.client.device.managed import ManagedOutcome, words_of
from device_sdk.client.device.sync.session import Session
from device_sdk.client.device.sync.visit import Outgoing, Visit
from device_sdk.client.est.returns import ReturnMessage, Returns
from device_sdk.errors import StateError, TampRefusedError, VerificationError
from device_sdk.protocols.est.returns import return_path
from device_sdk.protocols.est.urls import Operation
from device_sdk.protocols.tamp import AnchorStore, Processed, Trusting, process, refusal
from device_sdk.protocols.tamp.exchange import signed_answer
from device_sdk.wire.path import find_path
from device_sdk.wire.tamp import oids
from device_sdk.wire.tamp.codes import TampStatus
from device_sdk.wire.tamp.envelope import Seen

_RETURN = return_path(Operation.TAMP)
_LEFT_ALONE = "no trust anchor is left that leads to this EST server: the next connection will fail"


@dataclass
class AnchorManagement:
    """One run for one device. The state's lock must be held, but for `look`.

    Attributes:
        context: the device.
        session: the connection; closed when other servers are trusted than before.
        returns: keeps answers until the server has them; by default the outbox.
        wanted: told the SHA-256 of a message; it is left alone if the answer is False.
    """

    context: Context
    session: Session
    returns: Visit | None = None
    wanted: Callable[[bytes], bool] = lambda _: True

    def run(self, target: str | None = None) -> ManagedOutcome | None:
        """Fetch a message and do it; see Device.manage_anchors."""
        return self._work(target, apply=True)

    def look(self, target: str | None = None) -> ManagedOutcome | None:
        """What a message would do; nothing is changed, and nothing is answered."""
        return self._work(target, apply=False)

    def _work(self, target: str | None, *, apply: bool) -> ManagedOutcome | None:
        context = self.context
        store = context.state.managed.load()
        if not store.anchors:
            raise StateError(
                f"{context.state.path}: nobody may manage the trust anchors of this device",
                hint="import who may: device-sdk anchors import FILE --role apex",
                path=str(context.state.path),
            )
        client = self.session.client
        found = client.packages.anchor_message(target, **self.session.waiting)
        if found is None:
            return None
        body, server = found
        if not self.wanted(hashlib.sha256(body).digest()):
            return None
        seen = Seen()
        try:
            done = process(body, store.with_explicit(self._own), self._trusting, seen)
        except TampRefusedError as error:
            error.message_type = seen.message_type
            error.reported = apply and self._report(error, seen)
            raise error.at(f"{client.endpoint.origin}{target or client.endpoint.target(Operation.TAMP)}")  # noqa: B904  # the same error
        notes = self._warnings(store, done.store, server)
        if not apply:
            return ManagedOutcome(done, notes)
        self._keep(done)
        return ManagedOutcome(done, notes, self._delivered(store, done.store))

    def _keep(self, done: Processed) -> None:
        """Answer and change, so that a power cut leaves both or none: see ManagedAnchors.settle."""
        managed = self.context.state.managed
        event = managed.event(done.store)
        self._give(done.answer, done.answer_type, words_of(done), event)
        managed.save(done.store)
        if self.returns is not None:
            self.returns.done("what the message says is done")
        self._returns.settle(_RETURN, event, happened=True)

    def _report(self, error: TampRefusedError, seen: Seen) -> bool:
        """Tell the server why its message was refused, signed (RFC 5934 section 4.11)."""
        content = refusal(error, seen)
        if content is None:
            return False
        about = f"refused a message about trust anchors: {TampStatus(error.status or TampStatus.OTHER).words}"
        self._give(content, oids.ERROR, about)
        self.session.deliver()
        return True

    def _give(self, content: bytes, content_type: str, about: str, event: str = "") -> None:
        signed = signed_answer(content, content_type, self.session.identity, self.context.clock.now())
        self._returns.give(ReturnMessage(_RETURN, oids.MEDIA_TYPES[content_type], signed, about, event))

    @property
    def _returns(self) -> Returns:
        return self.returns or Outgoing(self.context)

    def _delivered(self, before: AnchorStore, after: AnchorStore) -> Delivery:
        """Send the answer on the connection that is open; if other servers are trusted now, it was its last."""
        delivery = self.session.deliver()
        if before.explicit(self._own) != after.explicit(self._own):
            self.session.anew()
        return delivery

    def _warnings(self, before: AnchorStore, after: AnchorStore, server: bytes | None) -> tuple[str, ...]:
        """Whether the server is one that is not trusted any more; the message is done all the same (RFC 5934 section 4.3)."""
        then, now = before.explicit(self._own), after.explicit(self._own)
        if then == now:
            return ()
        if not now:
            return (_LEFT_ALONE,)
        leaf = x509.load_der_x509_certificate(server) if server else None
        lost = leaf is not None and self._leads(leaf, then) and not self._leads(leaf, now)
        return (_LEFT_ALONE,) if lost else ()

    def _leads(self, leaf: x509.Certificate, anchors: tuple[x509.Certificate, ...]) -> bool:
        bag = (*self.session.identity.chain, *self._own)
        try:
            find_path(leaf, intermediates=bag, anchors=anchors, now=self.context.clock.now())
        except VerificationError:
            return False
        return True

    @property
    def _trusting(self) -> Trusting:
        session = self.session
        return Trusting(
            self.context.clock.now(), lists=(*session.lists, *session.signer_lists), list_issuers=session.list_issuers
        )

    @cached_property
    def _own(self) -> tuple[x509.Certificate, ...]:
        """The Explicit trust anchors as the EST service has them."""
        state = self.context.state
        return state.own_anchors(state.load().anchors or "")
