"""A line: a port for the station, a device at the other end, and in between what the cable does to bytes."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from device_sdk_simulators.serial.line_faults import Counts, Disturbance, KernelNoise, LineFaults, garbled
from device_sdk_simulators.serial.ports import Port

_TICK_S = 0.02
_BITS = 10
_PIECE = 4096
_MOST_WAITING = 1 << 20


class SerialDevice(ABC):
    """What is at the far end of a line.

    Attributes:
        line: the line it is at, None while it is at none.
        let_go: whether the station said that it is done: bye, or logged out; False again when it asks for more.
    """

    def __init__(self) -> None:
        self.line: SimulatedLine | None = None
        self.let_go = False

    def send(self, data: bytes) -> None:
        """Say something; lost where there is no line."""
        if self.line is not None:
            self.line.say(data)

    @abstractmethod
    def power_on(self) -> None:
        """The device starts."""

    @abstractmethod
    def power_off(self) -> None:
        """The device stops at once, as without power."""

    @abstractmethod
    def hear(self, data: bytes) -> None:
        """What came over the line."""

    def station_came(self) -> None:  # noqa: B027 - most do not care
        """Somebody opened the line."""

    def station_left(self) -> None:  # noqa: B027 - most do not know
        """Somebody closed the line; a device with three wires does not know."""

    def more(self) -> bytes:
        """What an endless talker says when everything before it is out; b"" for nothing."""
        return b""


class SimulatedLine:
    """One line; everything happens in the running event loop.

    Args:
        port: its end for the station.

    Attributes:
        device: what is at it, or None.
        counts: what happened since that device is at it.
        left: called when the station left.
    """

    def __init__(self, port: Port) -> None:
        self.port = port
        self.device: SerialDevice | None = None
        self.counts = Counts()
        self.left: Callable[[], None] = lambda: None
        self._connected = False
        self._outgoing = bytearray()
        self._spoilt = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._back: asyncio.TimerHandle | None = None
        self._deaf = self._is_endless = False
        port.heard, port.came, port.left = self._heard, self._came, self._gone
        self.faults = LineFaults()
        self._arrange()

    def _arrange(self) -> None:
        self.counts = Counts()
        self._out = Disturbance(self.faults, "out", self.counts)
        self._in = Disturbance(self.faults, "in", self.counts)
        self._noise = KernelNoise(self.faults, self.counts)
        self._cuts = sorted(self.faults.cuts)
        self._deaf = False

    def plug(self, device: SerialDevice, faults: LineFaults | None = None) -> None:
        """Put a device at the line and switch it on."""
        self.device, device.line = device, self
        self.faults = faults or LineFaults()
        self._arrange()
        self._connect()
        device.power_on()

    def unplug(self) -> SerialDevice | None:
        """Take the device away."""
        device, self.device = self.device, None
        self._disconnect()
        if self._back:
            self._back.cancel()
            self._back = None
        if device is not None:
            device.power_off()
            device.line = None
        return device

    def cut(self) -> None:
        """Pull the cable and put it back a little later; the device notices nothing."""
        self.counts.add("cut")
        self._disconnect()
        if self._back is None:
            self._back = asyncio.get_running_loop().call_later(self.faults.back_after_s, self._reconnect)

    def _reconnect(self) -> None:
        self._back = None
        if self.device is not None:
            self._connect()

    def _connect(self) -> None:
        self._connected = True
        self.port.open()
        self._pump()

    def _disconnect(self) -> None:
        self._connected = False
        self._outgoing.clear()
        self._spoilt.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self.port.close()

    def say(self, data: bytes) -> None:
        """What the device says; lost while the cable is out, and where a megabyte is waiting already."""
        if self._connected and not self._deaf and len(self._outgoing) < _MOST_WAITING:
            self._outgoing += self._noise.apply(data)
            self._pump()

    def _pump(self) -> None:
        """Send what may be sent now, and come back for the rest."""
        while self._timer is None and self._connected:
            if not self._spoilt and not self._take():
                return
            del self._spoilt[: self.port.write(bytes(self._spoilt))]
            if self._spoilt or self.faults.baud or self._is_endless:
                self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._again)

    def _again(self) -> None:
        self._timer = None
        self._pump()

    def _take(self) -> bool:
        """Let the cable do to the next bytes what it does; whether there is something to send."""
        if self._cuts and self.counts.sent >= self._cuts[0]:
            self._cuts.pop(0)
            self.cut()
            return False
        size = self._quantum()
        if self._cuts:
            size = min(size, self._cuts[0] - self.counts.sent)
        piece = bytes(self._outgoing[:size]) or self._more()[:size]
        if not piece or self._gets_stuck():
            return False
        del self._outgoing[:size]
        self.counts.sent += len(piece)
        self._spoilt += self._at_their_rate(self._out.apply(piece))
        return True

    def _more(self) -> bytes:
        more = self.device.more() if self.device is not None and self.port.present else b""
        self._is_endless = bool(more)
        return more

    def _quantum(self) -> int:
        if not self.faults.baud:
            return _PIECE
        return max(1, int(self.faults.baud / _BITS * _TICK_S))

    def _gets_stuck(self) -> bool:
        at = self.faults.stuck_at
        if at is not None and self.counts.sent >= at:
            self._deaf = True
            self.counts.add("stuck")
        return self._deaf

    def _at_their_rate(self, data: bytes) -> bytes:
        ours, theirs = self.faults.baud, self.port.baud
        if ours and theirs and self.port.present and ours != theirs:
            self.counts.add("wrong_baud")
            return garbled(data, ours, theirs)
        return data

    def _heard(self, data: bytes) -> None:
        if self.device is None or self._deaf or not self._connected:
            return
        self.counts.received += len(data)
        if self.faults.baud:
            self.port.pause(True)
            asyncio.get_running_loop().call_later(len(data) * _BITS / self.faults.baud, self._hear_on)
        self.device.hear(self._at_their_rate(self._in.apply(data)))

    def _hear_on(self) -> None:
        if self._connected:
            self.port.pause(False)

    def _came(self) -> None:
        if self.device is not None:
            self.device.station_came()
        self._pump()

    def _gone(self) -> None:
        self._outgoing.clear()
        self._spoilt.clear()
        if self.device is not None:
            self.device.station_left()
        self.left()
