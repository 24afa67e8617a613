"""The station's end of a link (docs/serial-protocol.md section 3)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from device_sdk.errors import AgentVersionError, WireError
from device_sdk.protocols.agent.events import Closed, Event, Lost, Opened
from device_sdk.protocols.agent.link import Link
from device_sdk.protocols.agent.timing import DEFAULT_BAUD
from device_sdk.wire.agent.frames import BYE, HELLO, LOST, NO_SESSION, VERSION, Frame
from device_sdk.wire.agent.hello import DEFAULT_RECEIVE, AgentHello, StationHello

HELLO_S, BYE_S = 2.0, 1.0
MOST_BYES = 3
_SILENT_KEEPALIVES = 3


class StationLink(Link):
    """Says hello until somebody answers, and again whenever the device was started anew.

    Args:
        baud: of the line.
        receive: the largest payload it takes, 96 to 1024.
        versions: of the protocol.
        token: random bytes, as hexadecimal digits.
    """

    def __init__(
        self,
        baud: int = DEFAULT_BAUD,
        receive: int = DEFAULT_RECEIVE,
        *,
        versions: tuple[int, ...] = (VERSION,),
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        super().__init__(baud, receive, station=True)
        self._token, self._versions = token, versions
        self._nonce = self._new_nonce()
        self._hello: AgentHello | None = None
        # when the next hello or bye is due; None while the session is all right
        self._call_at: float | None = 0.0
        self._byes: int | None = None
        self._hellos = 0

    @property
    def agent(self) -> AgentHello | None:
        """What the agent of the present session said of itself."""
        return self._hello

    def start_anew(self) -> None:
        """Give up what is on its way: a session of its own for what comes next."""
        if self._hello is not None and self._byes is None:
            self._begin_anew()

    def leave(self) -> None:
        """Say goodbye; Closed happens when the agent has agreed, or has not answered three times."""
        if self._byes is None:
            self._byes, self._call_at = 0, 0.0

    def expect(self, now: float) -> None:
        """Something should come: if nothing has for three keepalives, ask whether the agent is there."""
        if self._hello is None or self._call_at is not None or self._byes is not None:
            return
        if now - (self.heard_at or 0.0) >= _SILENT_KEEPALIVES * self._hello.keepalive:
            self._call_at = now

    def outgoing(self, now: float) -> list[bytes]:
        """See Link.outgoing."""
        if self._call_at is not None and now >= self._call_at:
            if self._byes is not None:
                self._say_bye(now)
            else:
                payload = StationHello(self._versions, self._receive).to_bytes()
                self._put(HELLO, session=self._nonce, payload=payload)
                self._hellos += 1
                # every second one from the third on
                self._timing.paced = self._timing.paced if self._sender else self._hellos > 2 and self._hellos % 2 == 1
                # its answer is the longer one
                self._call_at = now + HELLO_S + self._timing.line_s(512)
        return super().outgoing(now)

    def wake_at(self) -> float | None:
        """See Link.wake_at."""
        times = [at for at in (self._call_at, super().wake_at()) if at is not None]
        return min(times, default=None)

    def _say_bye(self, now: float) -> None:
        assert self._byes is not None  # noqa: S101  # for mypy: only `outgoing` calls this
        self._drop()
        if self._byes < MOST_BYES:
            self._put(BYE, session=self._hello.session if self._hello else NO_SESSION)
        self._byes += 1
        self._call_at = now + BYE_S

    def _passed(self, now: float) -> Iterable[Event]:
        if self._byes is not None:
            if self._byes > MOST_BYES:
                yield Closed()
        elif self._is_silent(now) and self._sender is not None:
            if self._sender.hopeless:
                self._begin_anew()
                yield Lost("the agent takes a message that arrives damaged each time")
            elif self._call_at is None:
                self._call_at = now

    def _heard(self, frame: Frame, now: float) -> Iterable[Event]:
        kind = frame.kind
        if kind == BYE:
            if self._byes is not None:
                self._byes = MOST_BYES + 1
        elif self._byes is not None:
            return
        elif kind == HELLO:
            yield from self._greeted(frame, now)
        elif kind == LOST:
            if frame.session == NO_SESSION or (self._hello and frame.session == self._hello.session):
                self._begin_anew()
                yield Lost("the agent does not know the session any more")
        elif self._hello is not None and frame.session == self._hello.session:
            self._call_at = None
            yield from self._in_session(frame, now)

    def _greeted(self, frame: Frame, now: float) -> Iterable[Event]:
        if frame.session != self._nonce:
            return
        try:
            hello = AgentHello.from_bytes(frame.payload)
        except WireError:
            return
        if hello.version not in self._versions:
            raise _version_error(hello, self._versions)
        self.heard_at = now
        if self._hello is None:
            self._hello, self._call_at, self._hellos = hello, None, 0
            self._open(hello.session, hello.receive)
            yield Opened(hello)
        elif hello.session == self._hello.session:
            self._call_at = None
            if self._sender is not None:
                self._sender.unheard = 0
        else:
            self._begin_anew()
            yield Lost("the agent has begun another session")

    def _begin_anew(self) -> None:
        self._drop()
        self._hello, self._nonce, self._call_at, self._hellos = None, self._new_nonce(), 0.0, 0

    def _new_nonce(self) -> str:
        nonce = self._token(4)
        return nonce if nonce != NO_SESSION else "00000001"


def _version_error(hello: AgentHello, ours: tuple[int, ...]) -> AgentVersionError:
    theirs, mine = (", ".join(map(str, sorted(one))) for one in (hello.versions, ours))
    software = f" (device-sdk {hello.sdk})" if hello.sdk else ""
    return AgentVersionError(
        f"the agent{software} speaks version {theirs} of the serial protocol, this station {mine}",
        hint="install a device-sdk on one of them that speaks the other's version",
        theirs=theirs,
        ours=mine,
    )
