"""The device's end of a link (docs/serial-protocol.md section 3)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from device_sdk.errors import WireError
from device_sdk.protocols.agent.events import Closed, Event, Lost, Opened
from device_sdk.protocols.agent.link import Link
from device_sdk.protocols.agent.timing import DEFAULT_BAUD
from device_sdk.wire.agent.frames import BYE, HELLO, LOST, NO_SESSION, VERSION, Frame
from device_sdk.wire.agent.hello import DEFAULT_KEEPALIVE_S, DEFAULT_RECEIVE, AgentHello, StationHello

SESSION_S = 120.0
"""How long a session lasts in which nothing comes."""


class AgentLink(Link):
    """Answers hellos; has one session at a time, and none that is left alone.

    Args:
        baud: of the line.
        receive: the largest payload it takes, 96 to 1024.
        keepalive: seconds between two signs of life, as the hello says.
        sdk: version of the software, for the hello.
        versions: of the protocol.
        token: random bytes, as hexadecimal digits.
    """

    def __init__(
        self,
        baud: int = DEFAULT_BAUD,
        receive: int = DEFAULT_RECEIVE,
        *,
        keepalive: int = DEFAULT_KEEPALIVE_S,
        sdk: str = "",
        versions: tuple[int, ...] = (VERSION,),
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        super().__init__(baud, receive, station=False)
        self._token, self._boot, self._versions = token, token(8), versions
        self._keepalive, self._sdk = keepalive, sdk
        self._nonce: str | None = None
        self._hello: AgentHello | None = None
        self._put(LOST, session=NO_SESSION)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """See Link.receive; a session in which nothing came for too long has ended before that."""
        happened: list[Event] = []
        if self._sender is not None and self.heard_at is not None and now - self.heard_at >= SESSION_S:
            self._forget()
            happened.append(Lost("the station has not said anything for long"))
        return happened + super().receive(data, now)

    def _heard(self, frame: Frame, now: float) -> Iterable[Event]:
        kind = frame.kind.lower()
        if kind == HELLO:
            yield from self._greet(frame, now)
        elif kind == BYE:
            self._put(BYE, session=frame.session)
            self.heard_at = now
            if self._sender is not None and frame.session != self._session:
                return
            self._forget()
            yield Closed()
        elif self._sender is None or frame.session != self._session:
            if self._seldom(now):
                self._put(LOST, session=frame.session)
        else:
            yield from self._in_session(frame, now)

    def _passed(self, now: float) -> Iterable[Event]:
        if self._is_silent(now):
            self._forget()
            yield Lost("the station does not answer any more")

    def _greet(self, frame: Frame, now: float) -> Iterable[Event]:
        try:
            theirs = StationHello.from_bytes(frame.payload)
        except WireError:
            return
        if frame.session == NO_SESSION:
            return
        self.heard_at = now
        common = set(theirs.versions) & set(self._versions)
        if not common:
            refusal = AgentHello(self._versions, 0, NO_SESSION, self._boot, self._receive, self._keepalive, self._sdk)
            self._put(HELLO, session=frame.session, payload=refusal.to_bytes())
            return
        if self._hello is None or frame.session != self._nonce:
            self._nonce = frame.session
            self._hello = AgentHello(
                self._versions, max(common), self._new_session(), self._boot, self._receive, self._keepalive, self._sdk
            )
            self._open(self._hello.session, theirs.receive)
            yield Opened(self._hello)
        elif self._sender is not None:
            self._sender.unheard = 0
        self._put(HELLO, session=frame.session, payload=self._hello.to_bytes())

    def _new_session(self) -> str:
        session = self._token(4)
        return session if session != NO_SESSION else "00000001"

    def _forget(self) -> None:
        self._drop()
        self._hello = self._nonce = None
