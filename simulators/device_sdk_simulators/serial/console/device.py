"""A simulated device that is talked to over its console."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.console.bench_command import BenchCommand, Performed
from device_sdk_simulators.serial.console.boot_loader import BootLoader
from device_sdk_simulators.serial.console.login import Login
from device_sdk_simulators.serial.console.shell import Shell
from device_sdk_simulators.serial.device_faults import DeviceFaults
from device_sdk_simulators.serial.hostile import ESCAPES, Endless, spoil_result
from device_sdk_simulators.serial.line import SerialDevice
from device_sdk_simulators.serial.operations import takes_long

_BOOT = b"".join(
    b"[    %d.%06d] %b\r\n" % (number // 2, number * 104729 % 1000000, text)
    for number, text in enumerate(
        (b"Booting Linux on physical CPU 0x0", b"Kernel command line: console=ttyS0,115200", b"VFS: Mounted root")
    )
)
_MOTD = b"\r\nWelcome to a simulated device.\r\n"
_PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class ConsoleStyle:
    """What a console is like.

    Attributes:
        shell: one of `shell.SHELLS`.
        boot_loader: whether the board begins with one.
        user: who may log in.
        password: with this; "" for none asked.
        second_s: how long a second of the boot loader takes.
        path: directory of a real `device-sdk`, instead of the fleet's own verbs; None for these.
        environment: further variables for the shell.
        boot_prompt: what the boot loader asks with.
        started: whether the board was switched on before anybody was there: its boot loader is missed the first time.
    """

    shell: str = "busybox"
    boot_loader: bool = False
    user: str = "root"
    password: str = ""
    second_s: float = 1.0
    path: Path | None = None
    environment: tuple[tuple[str, str], ...] = ()
    boot_prompt: str = "=> "
    started: bool = False


class ConsoleDevice(SerialDevice):
    """A board with a console on its line.

    What is typed at its shell is run by a real one on this machine, as this user, in a directory of its own; that is
    for stations that are being tried, not for people who are not trusted.

    Args:
        board: what it is.
        directory: its disk: `home`, `tmp`, which is empty after each start, and what the simulator needs; made if missing.
        faults: what goes wrong.
        style: what its console is like.
    """

    def __init__(
        self, board: Board, directory: Path, faults: DeviceFaults | None = None, style: ConsoleStyle | None = None
    ) -> None:
        super().__init__()
        self.board, self._directory = board, directory
        self.faults, self._style = faults or DeviceFaults(), style or ConsoleStyle()
        self._home = directory / "home"
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._temporary = directory / "tmp"
        self._environment = {"bootdelay": "2", "serial#": board.serial_number, "bootcmd": "run distro_bootcmd"} | {
            f"eth{number or ''}addr": mac for number, mac in enumerate(board.macs)
        }
        self._endless = Endless(self.faults.hostile)
        self._timer: asyncio.TimerHandle | None = None
        self._loader: BootLoader | None = None
        self._login: Login | None = None
        self._shell: Shell | None = None
        self._command: BenchCommand | None = None
        self._on = self._asked = False

    def power_on(self) -> None:
        """Start with the boot loader, or with the system."""
        self._on = True
        shutil.rmtree(self._temporary, ignore_errors=True)  # what was killed may not be at its end yet
        self._temporary.mkdir(exist_ok=True, mode=0o700)
        self._command = BenchCommand(self.board, self._directory / "simulator", self._around, self.reset)
        if not self._style.boot_loader or (self._style.started and not self.board.boot_id):
            self._boot()
        elif self.line is not None and self.line.port.present:
            self._load()

    def station_came(self) -> None:
        """A board with a boot loader is switched on when somebody is there to see it."""
        if self._on and self._style.boot_loader and not (self._loader or self._login or self._shell or self._timer):
            self._load()

    def _load(self) -> None:
        self._loader = BootLoader(
            self._environment, self.send, self._boot, self.reset, self._style.boot_prompt.encode()
        )
        self._loader.begin()
        self._count(2)

    def _count(self, left: int) -> None:
        def second() -> None:
            self._timer = None
            if self._loader is not None and self._loader.count(left - 1):
                self._count(left - 1)

        self._later(self._style.second_s, second)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def _boot(self) -> None:
        bootargs = self._loader.variable("bootargs") if self._loader is not None else None
        if bootargs is not None:
            self.board.note("booted", bootargs)
        self._loader = None
        self.board.boot_id = str(uuid4())
        self.send(_BOOT)
        self._ask_who()

    def _ask_who(self) -> None:
        style = self._style
        self._login = Login(
            "simulated", style.user, style.password, self.send, self._enter, lambda: self.faults.take("login", "refuse")
        )
        self._login.begin()

    def _enter(self) -> None:
        self._login = None
        self.let_go = False
        if self.faults.take("login", "reset-after"):
            self.reset()
            return
        self.board.note("login")
        escapes = ESCAPES.encode() if "escapes" in self.faults.hostile else b""
        self.send(_MOTD + escapes)
        self._asked = True
        style = self._style
        tools = self._command.tools if self._command else self._directory
        environment = {
            "HOME": str(self._home),
            "USER": style.user,
            "TERM": "vt102",
            "TMPDIR": str(self._temporary),
            "PATH": f"{style.path or tools}:{tools}:{_PATHS}",
            "SIMULATOR": str(self._directory / "simulator"),
        }
        self._shell = Shell(style.shell, self._home, environment | dict(style.environment), self.send, self._logged_out)

    def _logged_out(self) -> None:
        self._shell = None
        self.let_go = True
        if self._on:
            self._ask_who()

    def hear(self, data: bytes) -> None:
        """Keys."""
        if self._loader is not None:
            self._loader.hear(data)
            return
        if self._login is not None:
            data = self._login.hear(data)
        if data and self._shell is not None:
            self._shell.hear(data)

    def power_off(self) -> None:
        """Everything but the disk is gone."""
        self._on = self._asked = False
        if self._timer is not None:
            self._timer.cancel()
        if self._shell is not None:
            self._shell.close()
        if self._command is not None:
            self._command.close()
        self._timer = self._loader = self._login = self._shell = self._command = None

    def reset(self) -> None:
        """As when somebody presses the button."""
        if not self._on:
            return
        self.power_off()
        self.board.note("reset")
        self._later(self.faults.boot_s, self._back)

    def _back(self) -> None:
        self._timer = None
        self.power_on()

    def more(self) -> bytes:
        """Hostile devices go on talking, once somebody came in."""
        return self._endless.more() if self._asked else b""

    async def _around(self, verb: str, do: Callable[[], Performed]) -> Performed | None:
        """Do a verb, with what is to go wrong with it; None where no answer is to come."""
        faults, loop = self.faults, asyncio.get_running_loop()
        if faults.take(verb, "reset-before"):
            loop.call_soon(self.reset)
            return None
        if faults.take(verb, "slow"):
            await asyncio.sleep(faults.slow_s)
        if faults.take(verb, "refuse"):
            return (
                3,
                '{"error": {"code": "keystore", "message": "out of order", "hint": null}}\n',
                "device-sdk: out of order\n",
            )
        performed = await asyncio.to_thread(do) if takes_long(self.board, verb) else do()
        if faults.take(verb, "reset-after"):
            loop.call_soon(self.reset)
            return None
        if faults.take(verb, "silent"):
            return None
        if faults.take(verb, "cut") and self.line is not None:
            self.line.cut()
        return self._spoilt(verb, performed)

    def _spoilt(self, verb: str, performed: Performed) -> Performed:
        code, output, errors = performed
        if code == 0 and self.faults.hostile and output.startswith("{"):
            result: dict[str, Any] = spoil_result(verb, json.loads(output), self.board, self.faults.hostile)
            output = json.dumps(result, ensure_ascii=False) + "\n"
        return code, output, errors
