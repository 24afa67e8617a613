"""Standard input and output as a line."""

from __future__ import annotations

import os
import termios
import threading
import time
from pathlib import Path

import pytest

from device_sdk.client.agent import Agent, AnswerBook, Desk
from device_sdk.client.agent.device import AgentOperations
from device_sdk.errors import LineError, LineSilentError
from device_sdk.transports.serial.stdio import open_stdio


def soon(seconds: float = 30) -> float:
    return time.monotonic() + seconds


def test_pipes() -> None:
    there, back = os.pipe(), os.pipe()
    with open_stdio(None, (there[0], back[1])) as line:
        os.write(there[1], b"to the device")
        assert line.read(soon()) == b"to the device"
        assert line.read(soon(0.01)) == b""
        line.write(b"x" * 1000, soon())
        assert os.read(back[0], 2000) == b"x" * 1000
        with pytest.raises(LineSilentError, match="and no more"):
            line.write(b"x" * 1_000_000, soon(0.2))
        threading.Timer(0.1, line.cancel).start()
        with pytest.raises(LineError, match="stopped"):
            line.read(soon())
    with open_stdio(None, (there[0], back[1])) as line:
        os.close(there[1])
        with pytest.raises(LineError, match="stdio has gone: end of file"):
            line.read(soon())
    for descriptor in (there[0], *back):
        os.close(descriptor)


def test_a_terminal_at_another_speed() -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    with open_stdio(9600, (slave, slave)) as line:
        assert termios.tcgetattr(slave)[4:6] == [termios.B9600] * 2
        os.write(master, b"\x03\x11\x13\r")
        assert line.read(soon()) == b"\x03\x11\x13\r"
    assert termios.tcgetattr(slave) == before
    with pytest.raises(LineError, match="12345 is no speed"):
        open_stdio(12345, (slave, slave))
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


def test_nobody_reads_what_the_agent_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not end for that, and does not wait for ever."""
    monkeypatch.setattr("device_sdk.client.bench.writing._GRACE_S", 0.1)
    there, back = os.pipe(), os.pipe()
    os.set_blocking(back[1], False)
    while True:
        try:
            os.write(back[1], b"x" * 65536)
        except BlockingIOError:
            break
    desk = Desk(AgentOperations(None), AnswerBook(lambda: tmp_path), lambda: False)  # type: ignore[arg-type]
    with open_stdio(None, (there[0], back[1])) as line:
        Agent(line, desk, baud=1_000_000, idle_s=0.5).run()
    for descriptor in (*there, *back):
        os.close(descriptor)
