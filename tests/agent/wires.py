"""A device's terminal and a station's, with a cable between them that can do harm. Everything is a real pty."""

from __future__ import annotations

import os
import random
import select
import threading
import tty
from dataclasses import dataclass


@dataclass
class Harm:
    """What the cable does to octets on their way."""

    flipped: float = 0.0
    cut: bool = False


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
        self.device_path, self.station_path = os.ttyname(self.device), os.ttyname(self._station)
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._carry)
        self._thread.start()

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
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if self._stop_read in ready:
                return
            for end in ready:
                self._pass_on(self._ends[end], os.read(end, 65536))

    def _pass_on(self, end: int, data: bytes) -> None:
        if self.harm.flipped:
            draw = self._random
            data = bytes(one ^ 1 << draw.randrange(8) if draw.random() < self.harm.flipped else one for one in data)
        if not self.harm.cut:
            os.write(end, data)
