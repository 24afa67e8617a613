"""Two implementations of docs/serial-protocol.md that know nothing of each other, over a line that damages and loses bytes."""

from __future__ import annotations

import hashlib
import heapq
import random

import pytest
from device_sdk_simulators.serial.agent.frames import Frame, FrameReader
from device_sdk_simulators.serial.agent.link import AgentLink
from device_sdk_simulators.serial.line_faults import Counts, Disturbance, LineFaults

from device_sdk.errors import AgentVersionError
from device_sdk.protocols.agent.events import Arrived, Closed, Lost, Opened
from device_sdk.protocols.agent.station import StationLink

PATIENCE_S = 4000.0


class Line:
    """A line in a time of its own: both ends, and what is on the way between them."""

    def __init__(self, faults: LineFaults, baud: int = 9600) -> None:
        self.now, self.baud = 0.0, baud
        self.station, self.agent = StationLink(baud), AgentLink(baud)
        self.counts = Counts()
        self._ways = {"in": Disturbance(faults, "in", self.counts), "out": Disturbance(faults, "out", self.counts)}
        self._free = {"in": 0.0, "out": 0.0}
        self._under_way: list[tuple[float, int, str, bytes]] = []
        self.events: list[object] = []
        self.at_agent: list[bytes] = []

    def _carry(self, way: str, data: bytes) -> None:
        # byte by byte, as frames of the one side come while the other is still sending
        for begin in range(0, len(data), 16):
            piece = data[begin : begin + 16]
            self._free[way] = max(self._free[way], self.now) + len(piece) * 10 / self.baud
            arrival = (self._free[way], len(self._under_way) + int(self.now * 1e6), way, self._ways[way].apply(piece))
            heapq.heappush(self._under_way, arrival)

    def _put(self) -> None:
        for frame in self.station.outgoing(self.now):
            self._carry("in", frame)
        if self.agent.out:
            self._carry("out", bytes(self.agent.out))
            self.agent.out.clear()

    def step(self) -> None:
        """Go on to the next time at which something happens."""
        self._put()
        times = [at for at in (self.station.wake_at(), self.agent.due) if at is not None]
        if self._under_way:
            times.append(self._under_way[0][0])
        self.now = max(self.now, min(times, default=self.now + 1.0))
        while self._under_way and self._under_way[0][0] <= self.now:
            *_, way, data = heapq.heappop(self._under_way)
            if way == "in":
                self.agent.feed(data, self.now)
                self.at_agent += self.agent.messages
                self.agent.messages.clear()
            else:
                self.events += self.station.receive(data, self.now)
        self.events += self.station.receive(b"", self.now)
        self.agent.tick(self.now)

    def until(self, kind: type) -> list[object]:
        """Everything that happened at the station up to the first event of this kind."""
        while not any(isinstance(event, kind) for event in self.events):
            self.step()
            assert self.now < PATIENCE_S, "nothing comes"
        happened, self.events = self.events, []
        return happened


def text(size: int, seed: int) -> bytes:
    return bytes(random.Random(seed).choices(range(0x20, 0x7F), k=size))  # noqa: S311


@pytest.mark.parametrize("rate", [0.0, 1e-3, 3e-3])
def test_messages_come_whole_once_and_in_order(rate: float) -> None:
    line = Line(LineFaults(flip_rate=rate, drop_rate=rate / 2, double_rate=rate / 4, seed=5))
    line.until(Opened)
    for number, size in enumerate((1, 187, 30_000)):
        question, answer = text(size, number), text(size + 1, 100 + number)
        line.station.send(question)
        while len(line.at_agent) <= number:
            line.step()
            assert line.now < PATIENCE_S
        assert line.at_agent[number] == question
        line.agent.send(answer, line.now)
        happened = line.until(Arrived)
        assert [event.data for event in happened if isinstance(event, Arrived)] == [answer]
        assert not [event for event in happened if isinstance(event, Lost)]
    line.station.leave()
    line.until(Closed)
    assert line.agent.ended
    assert len(line.at_agent) == 3
    assert (line.counts.faults != {}) == (rate > 0)


def test_an_agent_that_was_reset_says_so_and_the_station_begins_anew() -> None:
    line = Line(LineFaults())
    first = line.until(Opened)[-1]
    line.station.send(text(5000, 1))
    for _ in range(40):
        line.step()
    line.agent = AgentLink(9600)
    line.agent.start()
    assert isinstance(line.until(Lost)[-1], Lost)
    second = line.until(Opened)[-1]
    assert isinstance(first, Opened)
    assert isinstance(second, Opened)
    assert first.hello.boot != second.hello.boot
    assert not line.at_agent


def test_a_transfer_goes_on_in_the_next_session_where_it_was() -> None:
    line, message = Line(LineFaults()), text(20_000, 2)
    line.until(Opened)
    line.station.send(message)
    while line.now < 15:
        line.step()
    line.station = StationLink(9600)
    line.until(Opened)
    begin = line.now
    line.station.send(message)
    while not line.at_agent:
        line.step()
        assert line.now < PATIENCE_S
    assert line.at_agent == [message]
    assert line.now - begin < 20_000 * 10 / 9600, "it began again at the beginning"


def test_what_is_repeated_is_acknowledged_again_and_delivered_once() -> None:
    link, message = AgentLink(), b"x"
    link.feed(Frame("H", "00000001", payload=b'{"versions":[1]}').to_bytes(), 0.0)
    session = link.session or ""
    begin = Frame("M", session, 1, 0, b"000001" + hashlib.sha256(message).hexdigest().encode() + message).to_bytes()
    link.out.clear()
    link.feed(begin * 3, 0.0)
    assert bytes(link.out) == Frame("a", session, 1, 1).to_bytes() * 3
    assert list(link.messages) == [message]
    link.feed(Frame("B", "12345678").to_bytes(), 0.0)
    assert link.session == session
    link.feed(Frame("B", session).to_bytes(), 0.0)
    assert link.ended


def test_a_session_is_told_to_nobody_and_ends_when_it_is_left_alone() -> None:
    link = AgentLink()
    link.feed(Frame("H", "00000001", payload=b'{"versions":[1]}').to_bytes(), 0.0)
    session = link.session or ""
    link.out.clear()
    for named, answers in (("00000000", b""), (session, Frame("n", session).to_bytes())):
        link.feed(b"~1M%b000100000000" % named.encode() + b"0" * 20 + b"~", 60.0)
        assert bytes(link.out) == answers
    link.feed(Frame("A", session, 1, 1).to_bytes(), 100.0)
    link.feed(b"", 219.0)
    assert link.session == session
    link.feed(b"", 221.0)
    assert link.session is None


def test_an_agent_of_another_version_is_named() -> None:
    line = Line(LineFaults())
    line.agent = AgentLink(9600, versions=(2, 7))
    with pytest.raises(AgentVersionError, match="2, 7"):
        line.until(Opened)


@pytest.mark.parametrize(
    "spoilt",
    [
        b"~1A9f3a0c210001000000000000000000~",
        b"~1a9f3a0c21000100002c00001c6077d9~",
        b"~" + b"}" * 40 + b"~",
        b"~" + b"1M" + b"A" * 100_000 + b"~",
        bytes(range(256)) * 20,
    ],
    ids=["checksum", "direction", "escapes", "length", "octets"],
)
def test_what_is_no_frame_of_a_station_is_dropped_and_the_next_one_read(spoilt: bytes) -> None:
    good = Frame("H", "5a17c0de", payload=b'{"versions":[1],"receive":256}')
    assert good.to_bytes() == b'~0H5a17c0de0000000000001e{"versions":[1],"receive":256}]5ae0e680~'
    for size in (1, 7, 1 << 20):
        reader = FrameReader()
        data = spoilt + good.to_bytes()
        found = [frame for begin in range(0, len(data), size) for frame in reader.feed(data[begin : begin + size])]
        assert found == [good]
        assert bool(reader.damaged) == (spoilt[1:3] in (b"1A", b"1M"))
