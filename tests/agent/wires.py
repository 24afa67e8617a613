"""A device's terminal and a station's, with a cable between them that can do harm. Everything is a real pty."""

from __future__ import annotations

import os
import random
import select
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Harm:
    """What the cable does to octets on their way."""

    flipped: float = 0.0
    cut: bool = False
    baud: int = 0
    """Octets take their time, ten bits each; 0 for none."""
    fifo: int = 0
    """How many octets the device's end takes in a burst without a pause of a millisecond; 0 for all."""


class Cable:
    """Two ptys and a thread. `device` is the device's terminal, an open descriptor; `station` the path of the other."""

    def __init__(self, harm: Harm | None = None, seed: int = 1) -> None:
        self.harm = harm or Harm()
        self._random = random.Random(seed)  # noqa: S311
        device_end, self.device = os.openpty()
        station_end, self._station = os.openpty()
        for terminal in (self.device, self._station):
            tty.setraw(terminal)
        self._ends = {device_end: station_end, station_end: device_end}
        self._to_device = station_end
        self.device_path, self.station_path = os.ttyname(self.device), os.ttyname(self._station)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()
        self.carried = 0
        self.on_octets: Callable[[bytes], None] | None = None

    def type(self, data: bytes) -> None:
        """Something else writes on the device's terminal: the kernel, a login."""
        os.write(self.device, data)

    def close(self) -> None:
        """Pull it out."""
        os.write(self._stop_write, b"x")
        self._thread.join()
        for descriptor in (*self._ends, self.device, self._station, self._stop_read, self._stop_write):
            os.close(descriptor)

    def _carry(self) -> None:
        poll = select.poll()
        for end in (*self._ends, self._stop_read):
            poll.register(end, select.POLLIN)
        last = 0.0
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._stop_read in ready:
                return
            for end in ready:
                data = os.read(end, 65536)
                now = time.monotonic()
                if end == self._to_device and self.harm.fifo and now - last < 0.001:
                    data = b""
                elif end == self._to_device and self.harm.fifo:
                    data = data[: self.harm.fifo]
                last = now if end == self._to_device else last
                self._pass_on(self._ends[end], data)

    def _pass_on(self, end: int, data: bytes) -> None:
        self.carried += len(data)
        if self.on_octets is not None:
            self.on_octets(data)
        if self.harm.baud:
            time.sleep(10 * len(data) / self.harm.baud)
        if self.harm.flipped:
            draw = self._random
            data = bytes(one ^ 1 << draw.randrange(8) if draw.random() < self.harm.flipped else one for one in data)
        if not self.harm.cut:
            os.write(end, data)
