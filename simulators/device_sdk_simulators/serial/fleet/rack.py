"""The lines of a fleet: who is at which, and when the next one comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path

from device_sdk_simulators.serial.fleet.plan import FleetPlan, line_faults
from device_sdk_simulators.serial.fleet.report import Member
from device_sdk_simulators.serial.line import SerialDevice, SimulatedLine
from device_sdk_simulators.serial.ports import Port, PtyPort, TcpPort
from device_sdk_simulators.serial.rfc2217 import Rfc2217Port

_LOOK_S = 0.05
_HANDS_S = 1.0


class Place:
    """One line, with the device that is at it.

    Attributes:
        name: of the line.
        member: whose turn it is, or None.
    """

    def __init__(self, name: str, port: Port) -> None:
        self.name = name
        self.line = SimulatedLine(port)
        self.member: Member | None = None
        self.device: SerialDevice | None = None
        self._begun: float | None = None
        self._quiet_since: float | None = None
        self._received = 0
        self._swapping = False

    def put(self, member: Member, device: SerialDevice, plan: FleetPlan) -> None:
        """Plug a device in."""
        self.member, self.device = member, device
        self._begun = self._quiet_since = None
        self._received = 0
        member.line = self.name
        self.line.plug(device, line_faults(plan, member.number, member.misfortune))
        member.counts = self.line.counts.faults

    def swap(self) -> None:
        """Have it taken away at the next look, whatever the station is doing."""
        self._swapping = True

    def take_away(self) -> None:
        """Pull it out."""
        self._swapping = False
        self.line.unplug()
        if self.member is not None:
            self.member.board.keys.rest()
        self.member = self.device = None

    def is_done(self, plan: FleetPlan, now: float) -> bool:
        """Whether the station is done with this device, or will not come back to it."""
        member, device = self.member, self.device
        if member is None or device is None:
            return False
        if self._swapping:
            return True
        if self.line.counts.received != self._received:
            self._received = self.line.counts.received
            self._quiet_since = None
            self._begun = now if self._begun is None else self._begun
        if self._begun is None:
            return False
        if self.line.port.present and not device.let_go:
            self._quiet_since = None
            return now - self._begun > plan.patience_s
        if self._quiet_since is None:
            self._quiet_since = now
        # a station that did not take leave was killed, or cut off, and may not know yet that this one has proved itself
        if member.state != "proved" or not device.let_go:
            return now - self._quiet_since >= plan.linger_s
        # who has the line open still may be reading the last answer
        return not self.line.port.present or now - self._quiet_since >= _HANDS_S


class Rack:
    """All lines; everything happens in the running event loop.

    Args:
        plan: the fleet.
        members: its devices.
        build: makes the device of a member.

    Attributes:
        places: the lines.
        changed: called when a device came to a line or went.
    """

    def __init__(self, plan: FleetPlan, members: list[Member], build: Callable[[Member], SerialDevice]) -> None:
        self._plan, self._build = plan, build
        self._waiting = deque(members)
        self.places = [Place(name, port) for name, port in _ports(plan)]
        self.empty = asyncio.Event()

    async def run(self) -> None:
        """Put devices to lines until there are none left; ends when the last was taken away."""
        for place in self.places:
            self._next(place)
        while any(place.member is not None for place in self.places):
            await asyncio.sleep(_LOOK_S)
            now = asyncio.get_running_loop().time()
            done = [place for place in self.places if place.is_done(self._plan, now)]
            for place in done:
                place.take_away()
            if done:
                await asyncio.sleep(self._plan.swap_s)
            for place in done:
                self._next(place)
        self.empty.set()

    def _next(self, place: Place) -> None:
        if self._waiting:
            member = self._waiting.popleft()
            place.put(member, self._build(member), self._plan)

    def clear(self) -> None:
        """Take every device away."""
        self._waiting.clear()
        for place in self.places:
            place.take_away()


def _ports(plan: FleetPlan) -> list[tuple[str, Port]]:
    count = plan.line_count
    if not isinstance(plan.listen, Path):
        kind = Rfc2217Port if plan.listen == "rfc2217" else TcpPort
        return [(f"line{number}", kind()) for number in range(count)]
    plan.listen.mkdir(parents=True, exist_ok=True)
    names = [f"ttySIM{number}" for number in range(count)]
    return [(name, PtyPort(plan.listen.absolute() / name)) for name in names]
