"""Simulated boards asked without a line: what a station does is tried step by step, and a cable is cut where a test says.

The boards are those of device-sdk-simulators; only the serial protocol is left out. tests/station/test_fleet.py has it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.refusal import RefusalError

from device_sdk.client.bench import BenchDevice, BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.errors import BenchError, DeviceSaysError, LineError, LineSilentError
from device_sdk.model.keys import KeyType
from device_sdk.station.run.session import Session


class Killed(BaseException):
    """The station dies here."""


@dataclass
class Socket:
    """Where a board is plugged in.

    Attributes:
        board: what is plugged in; None for nothing.
        cuts: operations during which the cable is pulled; "install" once for each time it is named; "+install" after it was done.
        on: called before an operation, with its name.
        asked: the operations, in order.
        refuses: what opening ends in, if not None.
        opened: how often it was.
    """

    board: Board | None = None
    cuts: list[str] = field(default_factory=list)
    on: Callable[[str], None] = lambda _name: None
    asked: list[str] = field(default_factory=list)
    in_use: bool = False
    refuses: BenchError | None = None
    opened: int = 0


class DirectDevice(BenchDevice):
    """A board, asked in this process."""

    def __init__(self, line: str, socket: Socket) -> None:
        self._line, self._socket = line, socket
        self.cancelled = threading.Event()
        socket.opened += 1
        if socket.refuses is not None:
            raise socket.refuses
        if socket.board is None:
            raise LineSilentError(f"{line}: nobody answers", line=line, excerpt="garbage at the wrong rate")

    def _ask(self, name, *words, **named):
        socket = self._socket
        socket.asked.append(name)
        socket.on(name)
        if name in socket.cuts:
            socket.cuts.remove(name)
            raise LineError(f"{self._line} has gone", line=self._line, excerpt="the end of what it showed")
        try:
            found = getattr(socket.board, name)(*words, **named)
        except RefusalError as error:
            raise DeviceSaysError(
                f"{self._line}: {error}", line=self._line, device_code=error.code, device_exit=error.exit_code
            ) from error
        if f"+{name}" in socket.cuts:
            socket.cuts.remove(f"+{name}")
            raise LineError(f"{self._line} has gone", line=self._line)
        socket.on(f"+{name}")
        return found

    def facts(self) -> DeviceFacts:
        said = self._ask("facts")
        return DeviceFacts(**(said | {name: tuple(said[name]) for name in ("macs", "keystores")}))

    def configure(self, config: bytes, anchors: bytes) -> None:
        self._ask("configure", config, anchors)

    def create_key(self, wish: KeyWish) -> BenchKey:
        made = self._ask("create_key", wish.uri, wish.type.value, file_allowed=wish.file_allowed, again=wish.again)
        return BenchKey(made.uri, KeyType(made.type), made.public_key, made.attestation)

    def request(self, csrattrs: bytes = b"") -> bytes:
        return self._ask("request", csrattrs)

    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        return bytes.fromhex(self._ask("install", answer, ca_certificates))

    def enrol(self) -> bytes:
        return bytes.fromhex(self._ask("enrol"))

    def prove(self, nonce: bytes) -> Proof:
        return Proof(*self._ask("prove", nonce))

    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        return self._ask("run", command)

    def close(self) -> None:
        self._socket.in_use = False


class Rack:
    """Lines by name, and the boards in them."""

    def __init__(self) -> None:
        self.sockets: dict[str, Socket] = {}

    def plug(self, line: str, board: Board | None) -> Socket:
        socket = self.sockets[f"direct://{line}"] = Socket(board)
        return socket

    def open(self, line: str, _run: str) -> Session:
        device = DirectDevice(line, self.sockets[line])
        return Session(line, device, device.cancelled.set, lambda: None)
