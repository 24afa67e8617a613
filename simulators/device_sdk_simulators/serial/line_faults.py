"""What goes wrong on a line, byte by byte, the same with every run of one seed."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

# after the end of a line, and between two frames
_ENDS = re.compile(rb"(?<=\n)|(?<=~)(?=~)|(?<=~)$")
KERNEL_LINES = (
    "usb 1-1: new high-speed USB device number 4 using xhci_hcd",
    "random: crng init done",
    "br-lan: port 1(lan1) entered forwarding state",
    "mmc0: error -110 whilst initialising SD card",
    "IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready",
)
"""What the kernel writes over a console."""


@dataclass
class LineFaults:
    """The faults of one line while one device is at it; the default is a line without any.

    Attributes:
        baud: bytes are paced as at this rate, 10 bits each; 0 for as fast as it goes. A station that opened the line at
            another rate reads garbage, and so does the device (ptys and RFC 2217; a bare socket has no rate).
        flip_rate: share of bytes, in both directions, in which one bit is turned round.
        drop_rate: share of bytes that get lost, as in an overrun.
        double_rate: share of bytes that come twice.
        noise_rate: share of lines and frames of output after which a kernel message comes in between.
        cuts: numbers of bytes of output after which the cable is pulled; it is put back `back_after_s` later.
        stuck_at: number of bytes of output after which nothing comes any more, and nothing is heard; None for never.
        back_after_s: how long a cable stays out.
        seed: what chance is made from.
    """

    baud: int = 0
    flip_rate: float = 0.0
    drop_rate: float = 0.0
    double_rate: float = 0.0
    noise_rate: float = 0.0
    cuts: tuple[int, ...] = ()
    stuck_at: int | None = None
    back_after_s: float = 0.3
    seed: int = 0


@dataclass
class Counts:
    """What really happened on a line: bytes carried, and faults by name."""

    sent: int = 0
    received: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """One more fault of this name."""
        self.faults[name] = self.faults.get(name, 0) + 1


class Disturbance:
    """One direction of a line. Which bytes are hit depends on the seed and their number alone, not on how they are cut up.

    Args:
        faults: rates.
        direction: "out" (of the device) or "in".
        counts: where what happens is counted.
    """

    def __init__(self, faults: LineFaults, direction: str, counts: Counts) -> None:
        self._counts = counts
        self._position = 0
        self._random = random.Random(f"{faults.seed}/{direction}")  # noqa: S311 - chance that can be repeated
        rates = {"flip": faults.flip_rate, "drop": faults.drop_rate, "double": faults.double_rate}
        self._hits = {
            name: _hits(rate, random.Random(f"{faults.seed}/{direction}/{name}"))  # noqa: S311
            for name, rate in rates.items()
            if rate > 0
        }
        self._next = {name: next(hits) for name, hits in self._hits.items()}

    def apply(self, data: bytes) -> bytes:
        """The bytes as they come out at the other end."""
        begin, self._position = self._position, self._position + len(data)
        if all(position >= self._position for position in self._next.values()):
            return data
        pieces = [data[index : index + 1] for index in range(len(data))]
        for name in self._hits:
            while self._next[name] < self._position:
                index = self._next[name] - begin
                pieces[index] = self._spoil(name, pieces[index])
                self._counts.add(name)
                self._next[name] = next(self._hits[name])
        return b"".join(pieces)

    def _spoil(self, name: str, piece: bytes) -> bytes:
        if name == "drop":
            return b""
        if name == "double":
            return piece * 2
        return bytes(byte ^ 1 << self._random.randrange(8) for byte in piece)


def _hits(rate: float, chance: random.Random) -> Iterator[int]:
    """Positions that are hit, in order: the gaps between them are geometric."""
    position = -1
    while True:
        gap = 1 if rate >= 1 else 1 + int(math.log(1.0 - chance.random()) / math.log(1.0 - rate))
        position += gap
        yield position


class KernelNoise:
    """Puts messages of the kernel between lines of output."""

    def __init__(self, faults: LineFaults, counts: Counts) -> None:
        self._rate, self._counts = faults.noise_rate, counts
        self._random = random.Random(f"{faults.seed}/kernel")  # noqa: S311 - chance that can be repeated
        self._seconds = 20.0

    def apply(self, data: bytes) -> bytes:
        """The output with what the kernel says in it."""
        if not self._rate:
            return data
        pieces = _ENDS.split(data)
        return b"".join(piece + self._message() for piece in pieces[:-1]) + pieces[-1]

    def _message(self) -> bytes:
        if self._random.random() >= self._rate:
            return b""
        self._seconds += self._random.random() * 9
        self._counts.add("noise")
        return f"[{self._seconds:12.6f}] {self._random.choice(KERNEL_LINES)}\r\n".encode()


def garbled(data: bytes, ours: int, theirs: int) -> bytes:
    """What a UART at another rate makes of these bytes: as many more or fewer as the rates differ, and none of them right."""
    chance = random.Random(data)  # noqa: S311 - chance that can be repeated
    length = max(1, min(len(data) * theirs // max(1, ours), 8 * len(data)))
    return bytes(chance.choice((0x00, 0x80, 0xF8, 0xFE, 0xE0, 0x78, 0x9C, 0xFC, 0x06)) for _ in range(length))
