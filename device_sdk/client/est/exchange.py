"""Carrying requests: one conversation over a transport, and the same again where the server asks for patience."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from math import ceil

from device_sdk.client.est.clock import Clock
from device_sdk.client.est.connections import Connections
from device_sdk.client.est.csr_body import CsrBody
from device_sdk.client.est.patience import Patience
from device_sdk.errors import (
    AuthenticationRequiredError,
    DeviceSdkError,
    EnrolmentPendingError,
    ProxyRefusedError,
    RedirectRefusedError,
    ResponseTooLargeError,
    TlsError,
    TransportError,
    VerificationError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.forks import ForkLock
from device_sdk.model.http import HttpRequest, HttpResponse
from device_sdk.protocols.est.backoff import OVERLOAD_STATUSES, Backoff, RetryPolicy
from device_sdk.protocols.est.conversation import Conversation
from device_sdk.protocols.est.login import Login
from device_sdk.protocols.est.responses import Pending
from device_sdk.protocols.est.retry_after import read_retry_after
from device_sdk.protocols.est.server_text import server_text
from device_sdk.transports.base import Transport

# A connection that idles longer than this is closed; servers close it soon after anyway.
_KEEP_OPEN_S = 30.0
_MAY_BE_ELSEWHERE = frozenset({"cacerts", "csrattrs"})
"""Operations of RFC 7030, a GET of which is led to another origin without asking; packages are at their own (RFC 8295)."""
_NOT_WORTH_REPEATING = (TlsError, ProxyRefusedError, ResponseTooLargeError)


def carry(conversation: Conversation, transport: Transport | Connections) -> HttpResponse:
    """The final response of a conversation.

    A challenge that is not answered ends the connection, as RFC 7030 section 3.2.3 demands (EST-84); so does a refused
    redirect.

    Args:
        conversation: what to send.
        transport: the one transport of a conversation that stays at its origin, or the connections of a client.

    Raises:
        TransportError, VerificationError: see Transport.send.
        AuthenticationRequiredError, RedirectRefusedError: see Conversation.answer.
    """
    while True:
        request = conversation.request
        there = transport.at(conversation.origin, request.method) if isinstance(transport, Connections) else transport
        response = there.send(request)
        if isinstance(transport, Connections):
            transport.note(response)
        try:
            if conversation.answer(response) is None:
                return response
        except (AuthenticationRequiredError, RedirectRefusedError, VerificationError):
            transport.close()
            raise


class Exchanges:
    """The requests of one EST client: authentication, redirects, and waiting.

    Threads may share it; with a password their conversations take turns, and waiting for "later" is not part of one.
    Every operation sends with this; the answer it gets is final, and is read by `device_sdk.protocols.est.responses`.

    Args:
        connections: where requests go.
        clock: the time.
        credentials: what answers a challenge of the home origin; a Login keeps nonces from one request to the next.
        policy: how soon to ask again.
        keep_open: keep idle connections while waiting, however long that is.
        follow: whether redirects are followed.
    """

    def __init__(
        self,
        connections: Connections,
        clock: Clock,
        *,
        credentials: Credentials | Login | None = None,
        policy: RetryPolicy | None = None,
        keep_open: bool = False,
        follow: bool = True,
    ) -> None:
        self._connections = connections
        self._clock = clock
        self._login = Login(credentials) if isinstance(credentials, Credentials) else credentials
        self._policy = policy or RetryPolicy()
        self._keep_open = keep_open
        self._follow = follow
        self._turn, self._owner = ForkLock(), os.getpid()

    def send(
        self,
        request: HttpRequest,
        patience: Patience | None = None,
        *,
        may_pend: bool = False,
        accepted: Callable[[], None] | None = None,
    ) -> HttpResponse:
        """Send a request until there is an answer that is not "later", or patience ends.

        A request is sent again only after the server answered "later" (202, 429, 503), or, if the policy asks for it,
        when no connection came about. A connection lost on the way of a POST leaves open what became of it and ends this;
        unless the server answered 202 before, which is its word that the request is to be repeated (EST-163, EST-164).

        Args:
            request: its BodyBuilder is called anew for each attempt, so that it is bound to the connection (EST-30).
            patience: how long to wait; None waits for nothing.
            may_pend: whether 202 means "later" for this operation; otherwise it is an answer like any other.
            accepted: called after each 202, before the wait.

        Returns:
            The answer; a 429 or 503 if it has to be told as a refusal, never a 202 if `may_pend`.

        Raises:
            EnrolmentPendingError: 202, and patience is at its end.
            AuthenticationRequiredError, RedirectRefusedError, TransportError, VerificationError: see `carry`.
        """
        patience = patience or Patience(self._clock)
        backoff = Backoff(self._policy, secrets.SystemRandom().random)
        taken = False
        for attempt in count(1):
            try:
                response = self._once(replace(request, attempt=attempt))
            except TransportError as error:
                later = Pending(backoff.overload_s(None), error.message, 0)
                if not self._is_worth_repeating(error, taken=taken) or not self._wait(later, patience):
                    raise
                continue
            pending = self._later(response, backoff, may_pend=may_pend)
            if pending is None:
                return response
            if pending.status_code == 202:
                taken = True
                if accepted:
                    accepted()
            if not self._wait(pending, patience):
                if pending.status_code == 202:
                    raise _undecided(response, pending)
                return response
        raise AssertionError  # not reached: count() has no end

    @contextmanager
    def one_use(self, body: CsrBody) -> Iterator[None]:
        """Close the connection a request was bound to, whatever became of it (RFC 9266 section 4.1, EST-100)."""
        try:
            yield
        finally:
            if body.bound:
                self._connections.close()

    @property
    def client_authenticated(self) -> bool:
        """See Connections."""
        return self._connections.client_authenticated

    def close(self) -> None:
        """Close all connections; a later request opens new ones."""
        self._connections.close()

    def _once(self, request: HttpRequest) -> HttpResponse:
        request = replace(request, operation=request.operation or request.target.rpartition("/")[2])
        if self._login is None:
            return self._conversation(request)
        with self._turn:  # challenge, answer and proof are one conversation: its nonce is nobody else's meanwhile
            if self._owner != os.getpid():
                self._login.forget()  # the parent counts on with that nonce
                self._owner = os.getpid()
            return self._conversation(request)

    def _conversation(self, request: HttpRequest) -> HttpResponse:
        there = self._connections
        stays = request.method == "GET" and request.operation not in _MAY_BE_ELSEWHERE
        rule = there.may_fetch_elsewhere if stays else there.may_leave
        conversation = Conversation(request, there.home, self._login, follow=self._follow, may_leave=rule)
        try:
            response = carry(conversation, there)
        except DeviceSdkError as error:
            if conversation.redirected_from is not None:
                error.args = (f"{error.message} (redirected from {conversation.redirected_from})", *error.args[1:])
            raise
        return replace(response, redirected_from=conversation.redirected_from)

    def _is_worth_repeating(self, error: TransportError, *, taken: bool) -> bool:
        if isinstance(error, _NOT_WORTH_REPEATING):
            return False
        return taken or (self._policy.connections and error.request_sent is False)

    def _later(self, response: HttpResponse, backoff: Backoff, *, may_pend: bool) -> Pending | None:
        status, said = response.status_code, server_text(response)
        asked_s = read_retry_after(response.header("Retry-After"), self._clock.now())
        if status == 202 and may_pend:
            return Pending(backoff.pending_s(asked_s), said)
        if status in OVERLOAD_STATUSES:
            return Pending(backoff.overload_s(asked_s), said, status)
        return None

    def _wait(self, pending: Pending, patience: Patience) -> bool:
        """Wait and give True, or give False; a 202 is reported in either case, the rest only if it is waited for."""
        enough = pending.retry_after_s <= patience.left_s()
        if enough or pending.status_code == 202:
            patience.tell(pending)
        if enough and pending.retry_after_s > _KEEP_OPEN_S and not self._keep_open:
            self._connections.close()
        return patience.wait(pending.retry_after_s)


def _undecided(response: HttpResponse, pending: Pending) -> EnrolmentPendingError:
    said = f" ({pending.server_text})" if pending.server_text else ""
    return EnrolmentPendingError(
        f"{response.url}: the request was accepted and is not decided yet{said}",
        hint=f"ask again in {max(1, ceil(pending.retry_after_s))} s with the same key",
        url=response.url,
        retry_after_s=pending.retry_after_s,
    )
