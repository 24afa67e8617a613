"""Boards that stay at their lines, whatever the station does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from device_sdk_simulators.serial.agent.device import AgentDevice
from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.line import SimulatedLine
from device_sdk_simulators.serial.line_faults import LineFaults
from device_sdk_simulators.serial.ports import PtyPort


@contextmanager
def staying(boards: Mapping[Path, Board]) -> Iterator[None]:
    """Boards at pseudo terminals of these names."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def plug() -> list[SimulatedLine]:
        lines = []
        for link, board in boards.items():
            link.parent.mkdir(exist_ok=True)
            line = SimulatedLine(PtyPort(link))
            line.plug(AgentDevice(board), LineFaults())
            lines.append(line)
        return lines

    async def unplug(lines: list[SimulatedLine]) -> None:
        for line in lines:
            line.unplug()

    lines = asyncio.run_coroutine_threadsafe(plug(), loop).result(30)
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(unplug(lines), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
