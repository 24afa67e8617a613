"""Asking the server: what enrolment and renewal have in common."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias

from device_sdk.client.device.connection import Connection
from device_sdk.client.device.context import Context
from device_sdk.client.est import CaCertificates, Enrolled, EstClient, Pending
from device_sdk.client.est.patience import Patience, Progress
from device_sdk.errors import ClockError, CsrAttributesError, HttpStatusError
from device_sdk.keystores.keys import DeviceKey
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.protocols.est.urls import Operation as EstOperation
from device_sdk.protocols.est.urls import parse_est_url
from device_sdk.state import Journal, Operation, Phase
from device_sdk.state.pem import encode
from device_sdk.wire.csrattrs import CsrAttributes

Ask: TypeAlias = Callable[[EstClient, DeviceKey, CsrSpec, CsrAttributes, Journal], Enrolled | None]
"""Asks for a certificate, or for what became of an earlier request: None if the server has nothing."""


@dataclass(frozen=True)
class AskedAt:
    """Where an entry of a package list leads, if not to the operations themselves.

    Attributes:
        csrattrs: request target for the CSR attributes; None for the operation's own.
        request: the same for the request; at /fullcmc a renewal is asked for by Full CMC (RFC 7030 section 4.3).
    """

    csrattrs: str | None = None
    request: str | None = None


ANYWHERE = AskedAt()
"""Where the operations are."""


class NothingThereError(Exception):
    """The server has no result."""


def choose_key_type(
    explicit: KeyType | None, wishes: CsrAttributes, default: KeyType, url: str
) -> tuple[KeyType, CsrAttributes, tuple[str, ...]]:
    """What key to make, the wishes that are left for the CSR, and what a person should know.

    What the owner says counts more than what the server says, which counts more than the default.

    Raises:
        CsrAttributesError: the wishes contradict each other, or cannot be met, and the owner said nothing.
    """
    try:
        allowed = wishes.required_key_types()
    except CsrAttributesError as error:
        if explicit is None:
            raise error.at(url)  # noqa: B904  # the same error
        return explicit, wishes.without_key_wishes(), (error.message,)
    if explicit is None:
        return default if allowed is None or default in allowed else allowed[0], wishes, ()
    if allowed is None or explicit in allowed:
        return explicit, wishes, ()
    names = ", ".join(key_type.value for key_type in allowed)
    note = f"the server asks for a key of type {names}; this one is {explicit.value}, as its owner says"
    return explicit, wishes.without_key_wishes(), (note,)


def is_by_cmc(journal: Journal) -> bool:
    """Whether it is asked for by Full CMC."""
    if journal.cmc is not None or journal.target is None:
        return journal.cmc is not None
    return parse_est_url(journal.url, journal.label).is_at(EstOperation.FULLCMC, journal.target)


def wishes_of(client: EstClient, at: AskedAt, connection: Connection) -> CsrAttributes:
    """What the server wants in the request; raises as EstClient.csrattrs."""
    return client.csrattrs(target=at.csrattrs, **connection.waiting)


def wait_for_turn(journal: Journal, patience: Patience) -> None:
    """Keep to what the server's Retry-After said in an earlier run (RFC 7030 section 4.2.3).

    Raises:
        EnrolmentPendingError: it is too early, and patience ends before; the server was not asked.
    """
    if journal.phase is not Phase.PENDING or journal.retry_at is None:
        return
    patience.wait_for_turn(journal.retry_at, journal.since, journal.url)


def remember_pending(
    context: Context, journal: Journal, client: EstClient, told: Progress | None = None
) -> Callable[[Pending], None]:
    """What writes each 202 into the journal before the client waits; with the request, if the server must see it again.

    Args:
        context: the device.
        journal: what is under way.
        client: the one that waits.
        told: whoever else is told of every wait.
    """

    def progress(pending: Pending) -> None:
        if told:
            told(pending)
        if pending.status_code != 202:  # nobody has accepted anything
            return
        retry_at = context.clock.now() + timedelta(seconds=pending.retry_after_s)
        csr = client.pending_request
        again = None if csr is None else base64.b64encode(csr).decode("ascii")
        context.state.write_journal(replace(journal, phase=Phase.PENDING, retry_at=retry_at, csr=again, cmc=None))

    return progress


def earlier_request(journal: Journal) -> bytes | None:
    """DER of the request of an earlier run that the server wants to see again; None if there is none."""
    if journal.phase is not Phase.PENDING or journal.csr is None:
        return None
    try:
        return base64.b64decode(journal.csr, validate=True)
    except ValueError:
        return None


@contextmanager
def forget_refused(context: Context, journal: Journal) -> Iterator[None]:
    """A request that was refused is not repeated as it is: the next run makes another one, with the same key."""
    try:
        yield
    except HttpStatusError as error:
        if journal.csr is not None and error.status_code in (400, 403, 404, 409):
            context.state.write_journal(replace(journal, csr=None))
        raise


def remember_issued(context: Context, journal: Journal, enrolled: Enrolled, ca: CaCertificates) -> Journal:
    """Put the certificate into the journal, in one step with its anchors: from here on it cannot be lost."""
    return _remember(context, journal, encode(enrolled.chain).decode("ascii"), ca)


@contextmanager
def keep_early(context: Context, journal: Journal, ca: CaCertificates) -> Iterator[None]:
    """Put an issued certificate that is not valid yet into the journal, too: only this machine's clock is against it."""
    try:
        yield
    except ClockError as error:
        if error.pem is not None:
            _remember(context, journal, error.pem, ca)
            error.hint = (
                "the certificate is kept: set the clock (NTP, RTC battery), or wait, and run the same command again; "
                "device-sdk abandon gives it up"
            )
        raise


def _remember(context: Context, journal: Journal, chain: str, ca: CaCertificates) -> Journal:
    if journal.operation is Operation.ENROLL:  # whom its owner names counts, whatever a message said before
        context.state.managed.forgive(ca.anchors)
    # the second certificate's server is trusted by the device's anchors, of which there is no other copy
    anchors = context.state.add_anchors(ca.anchors) if context.main is None else None
    issued = replace(journal, phase=Phase.ISSUED, retry_at=None, chain=chain, anchors=anchors, csr=None, cmc=None)
    context.state.write_journal(issued)
    return issued
