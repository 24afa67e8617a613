"""The loop of the agent: one line, one session, one operation at a time."""

from __future__ import annotations

import threading
import time
from typing import Protocol

from device_sdk._version import __version__
from device_sdk.client.agent.desk import Desk
from device_sdk.client.bench.writing import write_frames
from device_sdk.errors import LineError, LineSilentError, WireError
from device_sdk.protocols.agent import AgentLink, Arrived, Closed, Event
from device_sdk.protocols.agent.timing import DEFAULT_BAUD
from device_sdk.wire.agent.hello import DEFAULT_KEEPALIVE_S, DEFAULT_RECEIVE
from device_sdk.wire.agent.messages import BAD_MESSAGE, BUSY, REUSED, Progress, Refusal, Request, Result, id_in

_LOOK_S = 0.05
_MOST_WAITING = 8
_LONGEST_READ_S = 60.0


class ByteLine(Protocol):
    """What an agent needs of a line; transports.serial.Line has it."""

    def read(self, deadline: float) -> bytes:
        """What has come; b"" when the deadline of `time.monotonic()` has passed."""

    def write(self, data: bytes, deadline: float) -> None:
        """All of it, or LineSilentError."""


class _Work(threading.Thread):
    """One operation, beside the loop, which says meanwhile that the device is alive."""

    def __init__(self, desk: Desk, request: Request, now: float) -> None:
        # whoever ends the agent does not wait for it: it is as if the power were cut, and goes on the next time
        super().__init__(name=f"agent {request.op}", daemon=True)
        self.request, self.begun_at, self.said_at = request, now, now
        self.answer: Result | Refusal | None = None
        self._desk = desk

    def run(self) -> None:
        self.answer = self._desk.answer(self.request)


class Agent:
    """Serves one line.

    Args:
        line: the line.
        desk: answers the requests.
        baud: of the line.
        receive: the largest payload it takes: less for devices that lose octets.
        keepalive: seconds between two signs of life while an operation runs.
        once: whether to end when the station has said goodbye.
        idle_s: after how many seconds without a station to end; None for never.
    """

    def __init__(
        self,
        line: ByteLine,
        desk: Desk,
        *,
        baud: int = DEFAULT_BAUD,
        receive: int = DEFAULT_RECEIVE,
        keepalive: int = DEFAULT_KEEPALIVE_S,
        once: bool = False,
        idle_s: float | None = None,
    ) -> None:
        self._line, self._desk = line, desk
        self._baud, self._keepalive, self._once, self._idle_s = baud, keepalive, once, idle_s
        self._link = AgentLink(baud, receive, keepalive=keepalive, sdk=__version__)
        self._work: _Work | None = None
        self._over = False

    def run(self) -> None:
        """Serve until it is over: `once`, or nobody there for `idle_s`.

        Raises:
            LineError: the line has gone.
        """
        begun = time.monotonic()
        try:
            self._serve(begun)
        except LineError:
            # what is under way is finished, as if the line were there; a signal ends it all the same
            if self._work is not None:
                self._work.join()
            raise

    def _serve(self, begun: float) -> None:
        while not (self._over and self._work is None):
            now = time.monotonic()
            self._write(now)
            if self._is_idle(now, begun):
                return
            data = self._line.read(now + self._patience(now))
            for event in self._link.receive(data, time.monotonic()):
                self._happened(event)
            self._look_after_work()
        self._write(time.monotonic())

    def _write(self, now: float) -> None:
        try:
            write_frames(self._line, self._link, now, self._baud)
        except LineSilentError:
            # nobody reads there: what was lost is sent again when somebody does
            return

    def _patience(self, now: float) -> float:
        """How long to wait for octets, in seconds."""
        if self._work is not None:
            return _LOOK_S
        wake_at = self._link.wake_at()
        longest = _LONGEST_READ_S if self._idle_s is None else min(self._idle_s, _LONGEST_READ_S)
        return longest if wake_at is None else max(0.0, min(longest, wake_at - now))

    def _is_idle(self, now: float, begun: float) -> bool:
        if self._idle_s is None or self._work is not None:
            return False
        return now - (self._link.heard_at or begun) >= self._idle_s

    def _happened(self, event: Event) -> None:
        if isinstance(event, Arrived):
            self._asked(event.data)
        elif isinstance(event, Closed):
            self._over = self._once

    def _asked(self, data: bytes) -> None:
        # who asks and asks, and takes no answer, would fill the memory
        if self._link.waiting >= _MOST_WAITING:
            return
        try:
            request = Request.from_bytes(data)
        except WireError as error:
            self._refuse(id_in(data), BAD_MESSAGE, error.message)
            return
        if self._work is None:
            self._work = _Work(self._desk, request, time.monotonic())
            self._work.start()
        elif self._work.request.id != request.id:
            self._refuse(request.id, BUSY, f"{self._work.request.op} is under way")
        elif self._work.request != request:
            self._refuse(request.id, REUSED, f"the id {request.id} is the running request's")

    def _refuse(self, request: str, code: str, message: str) -> None:
        self._link.send(Refusal(request, code, message).to_bytes())

    def _look_after_work(self) -> None:
        work, now = self._work, time.monotonic()
        if work is None:
            return
        if not work.is_alive():
            work.join()
            self._work = None
            if work.answer is not None:
                self._link.send(work.answer.to_bytes())
        elif now - work.said_at >= self._keepalive and self._link.idle:
            work.said_at = now
            self._link.send(Progress(work.request.id, int(now - work.begun_at), work.request.op).to_bytes())
