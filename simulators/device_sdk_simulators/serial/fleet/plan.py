"""What a fleet is made of: how many devices, how they are talked to, and which of them misfortune befalls."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from device_sdk_simulators.serial.console.device import ConsoleStyle
from device_sdk_simulators.serial.device_faults import HOSTILE, STEP_FAULTS, DeviceFaults
from device_sdk_simulators.serial.line_faults import LineFaults

WAYS = ("agent", "console")
KEYS = ("software", "softhsm", "swtpm")
_STEPS = ("facts", "configure", "create-key", "request", "install", "prove")
_LINE_MISFORTUNES = {
    "noise": "one byte in a thousand has a bit turned round",
    "overrun": "one byte in a thousand is lost",
    "kernel": "messages of the kernel between lines",
    "cut-anywhere": "the cable is pulled somewhere, and put back",
    "stuck": "after a while the line is dead",
    "wrong-baud": "the device speaks at another rate",
}
_NAMES = {
    "same-mac": "the device has the MAC address of another one",
}
MISFORTUNES = _LINE_MISFORTUNES | STEP_FAULTS | _NAMES | HOSTILE
"""Everything that can befall a device, and what it is."""
FATAL = frozenset(
    {"stuck", "wrong-baud", "same-mac", "endless", "long-line", "other-serial", "other-csr", "bad-proof", "progress",
     "long-message", "version", "bad-json", "controls"}
)  # fmt: skip
"""Those that a device must not get through as provisioned, or cannot."""
_USUAL = ("noise", "overrun", "kernel", "cut-anywhere", "stuck", *STEP_FAULTS, *_NAMES, "other-serial", "other-csr",
          "bad-proof", "escapes", "controls", "html", "endless")  # fmt: skip


@dataclass
class FleetPlan:
    """A fleet. With the same seed the same devices have the same misfortunes.

    Attributes:
        devices: how many.
        lines: how many lines; None for one a device. Where there are more devices than lines, the next one is put to a
            line when the one before was done with.
        way: one of WAYS.
        keys: where the devices have their keys, one of KEYS.
        faults: share of devices that a misfortune befalls.
        misfortunes: which ones; one is drawn for each such device.
        only: misfortunes by number of the device, instead of drawing any.
        seed: what chance is made from.
        listen: directory for the names of ptys, "tcp", or "rfc2217".
        baud: rate of the lines; 0 for as fast as it goes.
        password: what devices that enrol themselves have for their user.
        prefix: what serial numbers begin with.
        linger_s: how long after the station left a device that is not provisioned, or without taking leave of it, it is
            waited for its return.
        patience_s: how long a device that the station began with stays at most.
        swap_s: how long it takes to put the next device to a line.
        operation_s: how long each operation of a device takes.
        slow_s: how long one takes that is slow.
        keepalive: seconds between two messages of progress of an agent.
        console: what the consoles are like.
        disks: directory for the disks of consoles, one below it for each; None for temporary ones.
    """

    devices: int = 8
    lines: int | None = None
    way: str = "agent"
    keys: str = "software"
    faults: float = 0.0
    misfortunes: tuple[str, ...] = _USUAL
    only: dict[int, str] = field(default_factory=dict)
    seed: int = 0
    listen: Path | str = "tcp"
    baud: int = 0
    password: str | None = None
    prefix: str = "SIM"
    linger_s: float = 5.0
    patience_s: float = 600.0
    swap_s: float = 0.2
    operation_s: float = 0.0
    slow_s: float = 3.0
    keepalive: int = 5
    console: ConsoleStyle = field(default_factory=ConsoleStyle)
    disks: Path | None = None

    def __post_init__(self) -> None:
        unknown = {*self.misfortunes, *self.only.values()} - MISFORTUNES.keys()
        if unknown:
            raise ValueError(f"no such misfortune: {', '.join(sorted(unknown))}")

    @property
    def line_count(self) -> int:
        """How many lines there are."""
        return min(self.lines or self.devices, self.devices)

    def serial_number(self, number: int) -> str:
        """Of a device."""
        return f"{self.prefix}-{self.seed % 10000:04d}-{number:05d}"

    def mac(self, number: int) -> str:
        """Of a device; locally administered."""
        octets = (self.seed % 65536 << 24 | number).to_bytes(5, "big")
        return ":".join(f"{one:02x}" for one in b"\x02" + octets)

    def misfortune(self, number: int) -> str | None:
        """What befalls this device."""
        if self.only:
            return self.only.get(number)
        chance = random.Random(f"{self.seed}/{number}")  # noqa: S311 - chance that can be repeated
        if not self.misfortunes or chance.random() >= self.faults:
            return None
        return chance.choice(self.misfortunes)


def line_faults(plan: FleetPlan, number: int, misfortune: str | None) -> LineFaults:
    """What a misfortune means for the line."""
    chance = random.Random(f"{plan.seed}/{number}/line")  # noqa: S311 - chance that can be repeated
    faults = LineFaults(baud=plan.baud, seed=chance.randrange(1 << 30))
    if misfortune == "noise":
        faults.flip_rate = 1e-3
    elif misfortune == "overrun":
        faults.drop_rate = 1e-3
    elif misfortune == "kernel":
        faults.noise_rate = 0.3
    elif misfortune == "cut-anywhere":
        faults.cuts = (chance.randrange(400, 3000),)
    elif misfortune == "stuck":
        faults.stuck_at = chance.randrange(400, 1500)
    elif misfortune == "wrong-baud":
        faults.baud = 9600 if plan.baud != 9600 else 115200
    return faults


def device_faults(plan: FleetPlan, number: int, misfortune: str | None) -> DeviceFaults:
    """What a misfortune means for the device."""
    chance = random.Random(f"{plan.seed}/{number}/device")  # noqa: S311 - chance that can be repeated
    if misfortune in STEP_FAULTS:
        return DeviceFaults([(chance.choice(_STEPS), misfortune)], slow_s=plan.slow_s)
    return DeviceFaults(hostile=frozenset({misfortune} & HOSTILE.keys()) if misfortune else frozenset())
