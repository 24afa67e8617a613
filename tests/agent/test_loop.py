"""The loop of the agent, on pipes, with a station that keeps no rule."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_sdk.client.agent import Agent, AnswerBook, Desk
from device_sdk.client.agent.device import AgentOperations
from device_sdk.client.agent.standing import Standing
from device_sdk.protocols.agent import StationLink
from device_sdk.protocols.agent.events import Arrived
from device_sdk.transports.serial.stdio import open_stdio
from device_sdk.wire.agent.frames import Frame
from device_sdk.wire.agent.messages import Refusal, Request, Result, read_from_agent


class Rude:
    """A station's end of two pipes."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self.link = StationLink(1_000_000)

    def send(self, data: bytes) -> None:
        os.write(self._write, data)

    def talk(self, done: Callable[[list[object]], bool]) -> list[object]:
        """As a station that keeps the rules, until that is so."""
        happened: list[object] = []
        deadline = time.monotonic() + 60
        os.set_blocking(self._read, False)
        while not done(happened):
            assert time.monotonic() < deadline
            for frame in self.link.outgoing(time.monotonic()):
                self.send(frame)
            try:
                data = os.read(self._read, 65536)
            except BlockingIOError:
                time.sleep(0.01)
                data = b""
            for event in self.link.receive(data, time.monotonic()):
                happened.append(read_from_agent(event.data) if isinstance(event, Arrived) else event)
        return happened


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[tuple[Agent, Rude]]:
    there, back = os.pipe(), os.pipe()
    line = open_stdio(None, (there[0], back[1]))
    desk = Desk(
        AgentOperations(None),  # type: ignore[arg-type]  # only `run` is asked for
        AnswerBook(lambda: tmp_path / "state"),
        Standing,
        commands=(("sleep", "2"), ("true",)),
    )
    agent = Agent(line, desk, baud=1_000_000, once=True)
    thread = threading.Thread(target=agent.run, daemon=True)
    thread.start()
    rude = Rude(there[1], back[0])
    yield agent, rude
    rude.link.leave()
    rude.talk(lambda _: not thread.is_alive())
    line.close()
    for descriptor in (*there, *back):
        os.close(descriptor)


def run(name: str, *words: str) -> bytes:
    return Request(name, "run", {"command": list(words), "timeout": 60}).to_bytes()


def test_one_operation_at_a_time(agent: tuple[Agent, Rude]) -> None:
    _, rude = agent
    rude.talk(lambda _: rude.link.session is not None)
    for message in (run("a", "sleep", "2"), run("a", "sleep", "2"), run("a", "true"), run("b", "true"), b"{}"):
        rude.link.send(message)
    found = rude.talk(lambda happened: len(happened) == 4)
    refused = {(one.id, one.code) for one in found if isinstance(one, Refusal)}
    assert refused == {("a", "id-reused"), ("b", "busy"), ("", "bad-message")}
    assert [one for one in found if isinstance(one, Result)] == [Result("a", {"status": 0, "output": ""})]


@pytest.mark.parametrize(("kind", "many"), [("nonsense", 1000), ("answered", 20)])
def test_who_takes_no_answer_fills_no_memory(agent: tuple[Agent, Rude], kind: str, many: int) -> None:
    """Of whose answers none is acknowledged: messages that are no requests, and one that was answered before."""
    serving, rude = agent
    rude.talk(lambda _: rude.link.session is not None)
    rude.link.send(run("a", "true"))
    rude.talk(lambda happened: len(happened) == 1)
    deadline = time.monotonic() + 60
    for number in range(2, many + 2):
        body = b"%d" % number if kind == "nonsense" else run("a", "true")
        head = b"%06x" % len(body) + hashlib.sha256(body).hexdigest().encode()
        rude.send(Frame("M", rude.link.session or "", number, 0, head + body).to_bytes())
        while kind == "answered" and (serving._link._receiver._last < number or serving._work is not None):
            assert time.monotonic() < deadline
            time.sleep(0.005)
    while serving._link._receiver._last < many + 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert 0 < serving._link.waiting <= 8
