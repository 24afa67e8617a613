"""Two ends of a link, and a line between them that can do whatever lines do. Time is a number here."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from device_sdk.protocols.agent import AgentLink, Arrived, Event, Opened, StationLink
from device_sdk.protocols.agent.link import Link


@dataclass
class Faults:
    """What the line does: shares of octets that are changed or lost, of writes that come twice (the second time late)."""

    flipped: float = 0.0
    dropped: float = 0.0
    repeated: float = 0.0
    fifo: int = 0
    noise: bytes = b""
    baud: int = 9600


@dataclass(order=True)
class Written:
    arrives: float
    number: int
    to_agent: bool = field(compare=False)
    data: bytes = field(compare=False)


class Bench:
    """A station and an agent that each have messages for the other, sent again in every session until they are there."""

    def __init__(self, seed: int, faults: Faults, down: list[bytes], up: list[bytes]) -> None:
        self.random, self.faults, self.now = random.Random(seed), faults, 0.0  # noqa: S311
        token: Callable[[int], str] = lambda size: self.random.randbytes(size).hex()  # noqa: E731
        self.station = StationLink(faults.baud, token=token)
        self.agent = AgentLink(faults.baud, token=token)
        self.token = token
        self.to_send = {True: down, False: up}
        self.arrived: dict[bool, list[bytes]] = {True: [], False: []}
        self.sessions = 0
        self.octets = 0
        self.cut = False
        self.frames = 0
        self._free = {True: 0.0, False: 0.0}
        self._line: list[Written] = []

    def reset(self) -> None:
        """The device loses its power."""
        self.agent = AgentLink(self.faults.baud, token=self.token)

    def done(self) -> bool:
        """Whether all is there, and both know."""
        return self.arrived == self.to_send and self.station.idle and self.agent.idle

    def run(self, limit_s: float, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass until all is there (or something else is); False if it is not by then."""
        end = self.now + limit_s
        while not (until or self.done)() and self.now < end:
            self._step()
        return (until or self.done)()

    def _ends(self) -> Iterator[tuple[bool, Link]]:
        yield False, self.station
        yield True, self.agent

    def _step(self) -> None:
        for is_agent, link in self._ends():
            for frame in link.outgoing(self.now):
                self.frames += 1
                self._write(frame, to_agent=not is_agent, paced=link.paced)
        times = [link.wake_at() for _, link in self._ends()]
        times += [self._line[0].arrives] if self._line else []
        self.now = max(self.now, min(at for at in times if at is not None))
        came = {True: b"", False: b""}
        if self._line and self._line[0].arrives <= self.now:
            written = heapq.heappop(self._line)
            came[written.to_agent] = written.data
        for is_agent, link in self._ends():
            for event in link.receive(came[is_agent], self.now):
                self._happened(is_agent, link, event)

    def _happened(self, is_agent: bool, link: Link, event: Event) -> None:
        if isinstance(event, Opened):
            self.sessions += not is_agent
            for message in self.to_send[not is_agent][len(self.arrived[not is_agent]) :]:
                link.send(message)
        elif isinstance(event, Arrived):
            self.arrived[is_agent].append(event.data)

    def _write(self, data: bytes, *, to_agent: bool, paced: bool) -> None:
        self.octets += len(data)
        faults, draw = self.faults, self.random.random
        # in pieces with pauses
        seconds = 10 * len(data) / faults.baud + (len(data) / 8 * 0.01 if paced else 0)
        self._free[to_agent] = max(self._free[to_agent], self.now) + seconds
        if faults.fifo and not paced and to_agent:
            # an interrupt that comes late: everything behind the FIFO of each burst is gone
            data = b"".join(data[at : at + faults.fifo] for at in range(0, len(data), 2 * faults.fifo))
        changed = bytearray(data)
        for at in range(len(changed)):
            if draw() < faults.flipped:
                changed[at] ^= 1 << self.random.randrange(8)
        data = bytes(one for one in changed if draw() >= faults.dropped)
        if self.cut:
            return
        self._put(self._free[to_agent], to_agent, data + faults.noise)
        if draw() < faults.repeated:
            self._put(self._free[to_agent] + 5 * draw(), to_agent, data)

    def _put(self, arrives: float, to_agent: bool, data: bytes) -> None:
        heapq.heappush(self._line, Written(arrives, self.random.getrandbits(60), to_agent, data))
