"""Boards are changed on an adapter that stays, in the middle of an operation: what was meant for the first is not the other's."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from pathlib import Path

import pytest
from device_sdk_simulators.serial.agent.device import AgentDevice
from device_sdk_simulators.serial.console.device import ConsoleDevice, ConsoleStyle
from device_sdk_simulators.serial.line import SimulatedLine
from device_sdk_simulators.serial.ports import PtyPort


class _Bench:
    """A line on which the first board goes and the second one comes when the first is asked for something.

    Args:
        path: of the line.
        when: what it is asked for then, in the protocol's word.
    """

    def __init__(self, path: Path, when: str) -> None:
        self.path, self.when = path, when
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.first = self.second = None
        self.line = self.call(lambda: SimulatedLine(PtyPort(path)))

    def call(self, do):
        async def there():
            return do()

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(30)

    def plug(self, first, second) -> None:
        self.first, self.second = first, second
        self.call(lambda: self.line.plug(first))

    def swap(self) -> None:
        first, second = self.first, self.second
        first.power_off()
        first.line, self.line.device, second.line = None, second, self.line
        second.power_on()

    def close(self) -> None:
        self.call(self.line.unplug)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(30)
        self.loop.close()


def _agents(bench: _Bench, boards, _tmp_path: Path):
    class Going(AgentDevice):
        async def _operate(self, request, params):
            if self is bench.first and request.operation == bench.when:
                self._task = None
                asyncio.get_running_loop().call_soon(bench.swap)
            else:
                await super()._operate(request, params)

    return map(Going, boards)


def _consoles(bench: _Bench, boards, tmp_path: Path):
    class Going(ConsoleDevice):
        async def _around(self, verb, do):
            if self is bench.first and verb == bench.when:
                asyncio.get_running_loop().call_soon(bench.swap)
                return None
            return await super()._around(verb, do)

    for number, board in enumerate(boards):
        (tmp_path / str(number)).mkdir()
        yield Going(board, tmp_path / str(number), None, ConsoleStyle(password="geheim"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "mode", "when"),
    [("agent", "relay", "configure"), ("agent", "configure", "run"), ("console", "relay", "configure")],
)
def test_the_other_board_gets_nothing(lab, tmp_path, way, mode, when):
    lab.real_lines, lab.mode = True, mode
    lab.lines_text = f'globs = ["{tmp_path}/tty0"]'
    lab.more = '[[steps.after]]\nname = "test"\non = "device"\ncommand = ["self-test"]'
    if way == "console":
        (tmp_path / "password").write_text("geheim\n")
        lab.talk = f'way = "console"\nuser = "root"\npassword_file = "{tmp_path}/password"'
    first, second = lab.board(), lab.board()
    with closing(_Bench(tmp_path / "tty0", when)) as bench:
        bench.plug(*(_agents if way == "agent" else _consoles)(bench, (first, second), tmp_path))
        tally = lab.run()
    assert (tally.provisioned, tally.failed) == (0, 1)
    assert f"the line was {first.serial_number}'s, and now '{second.serial_number}' answers" in lab.failure()["reason"]
    assert (second.config, second.certificates, second.made) == (None, [], [])
    assert {one.what for one in second.history} <= {"login"}
    assert lab.record(first).state == "failed"
    assert lab.record_of(second.serial_number) is None
