"""A fleet of simulated devices on lines, in a thread of this process."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from device_sdk_simulators.serial.agent.device import AgentDevice
from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.console.device import ConsoleDevice
from device_sdk_simulators.serial.fleet.members import make_members
from device_sdk_simulators.serial.fleet.plan import FleetPlan, device_faults
from device_sdk_simulators.serial.fleet.rack import Rack
from device_sdk_simulators.serial.fleet.report import Member, report
from device_sdk_simulators.serial.line import SerialDevice
from device_sdk_simulators.serial.self_enrol import enrol_over_network
from device_sdk_simulators.softhsm import SimulatorError

_T = TypeVar("_T")
_READY_S = 60.0
_TRIES, _MOMENT_S = 500, 0.02


class Fleet:
    """Devices that are at their lines when the `with` block begins, and gone when it ends.

    Every method may be called from any thread. SimulatorError at the end of the block if something of the fleet itself failed.

    Args:
        plan: what there is.
        enrol: how devices enrol themselves.

    Attributes:
        members: the devices, by number.
    """

    def __init__(
        self, plan: FleetPlan, enrol: Callable[[Board], tuple[bytes, bytes]] | None = enrol_over_network
    ) -> None:
        self.plan = plan
        self._disks = plan.disks or Path(tempfile.mkdtemp(prefix="fleet-"))
        self.members = make_members(plan, enrol, self._disks)
        self._ready: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="fleet", daemon=True)
        self._stop: asyncio.Event | None = None
        self._rack: Rack | None = None
        self._error: BaseException | None = None
        self.finished = threading.Event()

    def _build(self, member: Member) -> SerialDevice:
        plan = self.plan
        faults = device_faults(plan, member.number, member.misfortune)
        member.happened = faults.happened
        if plan.way == "console":
            return ConsoleDevice(member.board, self._disks / member.board.serial_number, faults, plan.console)
        return AgentDevice(member.board, faults, baud=plan.baud, keepalive=plan.keepalive, operation_s=plan.operation_s)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the start is to know
            if not self._ready.done():
                self._ready.set_exception(error)
            else:
                self._error = error
        finally:
            self.finished.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._rack = rack = Rack(self.plan, self.members, self._build)
        running = asyncio.create_task(rack.run())
        stopping = asyncio.create_task(self._stop.wait())
        # the first devices are plugged in before anybody is told
        await asyncio.sleep(0)
        if running.done():
            await running
        self._ready.set_result(None)
        try:
            done, _ = await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
            if running in done:
                await running
                self.finished.set()
                await stopping
        finally:
            running.cancel()
            rack.clear()

    def _call(self, function: Callable[[], _T]) -> _T:
        """Do it in the fleet's thread."""
        if self._loop is None or not self._thread.is_alive():
            return function()

        async def call() -> _T:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def lines(self) -> list[dict[str, Any]]:
        """The lines: name, url for pyserial, and the serial number of the device at it, or None."""
        rack = self._rack
        if rack is None:
            return []
        return self._call(
            lambda: [
                {
                    "name": place.name,
                    "url": place.line.port.url,
                    "device": place.member.board.serial_number if place.member else None,
                }
                for place in rack.places
            ]
        )

    def report(self) -> dict[str, Any]:
        """What happened so far; see `report`."""
        return self._call(lambda: report(self.members))

    def cut(self, line: str) -> None:
        """Pull the cable of a line, by its name, and put it back."""
        place = self._place(line)
        self._call(place.line.cut)

    def restart(self, line: str) -> None:
        """Switch the device of a line off and on; its cable stays."""
        device = self._place(line).device

        def switch() -> None:
            device.power_off()
            device.power_on()

        self._call(switch)

    def swap(self, line: str) -> None:
        """Take the device of a line away: the station is done with it. The next one comes."""
        place = self._place(line)
        self._call(place.swap)

    def _place(self, name: str) -> Any:
        places = self._rack.places if self._rack else []
        return next(place for place in places if place.name == name)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every device was done with; whether that is so."""
        return self.finished.wait(timeout_s)

    def start(self) -> Self:
        """The same as entering the `with` block."""
        self._thread.start()
        try:
            self._ready.result(_READY_S)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Take the devices away, end the thread."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        for member in self.members:
            member.board.keys.close()
        self._remove_disks()

    def _remove_disks(self) -> None:
        """Take away temporary disks; what runs on them was told to end, and may still write for a moment."""
        for _ in range(_TRIES):
            if self.plan.disks is not None or not self._disks.exists():
                return
            shutil.rmtree(self._disks, ignore_errors=True)
            if self._disks.exists():
                time.sleep(_MOMENT_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None and self._error is not None:
            raise SimulatorError(f"the fleet ended early: {self._error}") from self._error
