"""A simulated device that speaks the serial protocol; hundreds of them share one event loop."""

from __future__ import annotations

import asyncio
from typing import Any

from device_sdk_simulators.serial.agent.clerk import Answer, Clerk, error_answer
from device_sdk_simulators.serial.agent.frames import Frame
from device_sdk_simulators.serial.agent.link import AgentLink
from device_sdk_simulators.serial.agent.messages import Request, write_object
from device_sdk_simulators.serial.board import Board
from device_sdk_simulators.serial.device_faults import DeviceFaults
from device_sdk_simulators.serial.hostile import ESCAPES, Endless, spoil_result
from device_sdk_simulators.serial.line import SerialDevice
from device_sdk_simulators.serial.operations import perform, takes_long
from device_sdk_simulators.serial.refusal import RefusalError

_MOST_WAITING = 8
_BOOT_MESSAGES = b"".join(
    b"[    %d.%06d] %b\r\n" % (number // 3, number * 104729 % 1000000, text)
    for number, text in enumerate(
        (b"Booting Linux on physical CPU 0x0", b"Machine model: Simulated board", b"random: crng init done")
    )
)


class AgentDevice(SerialDevice):
    """A board with an agent on a line of its own.

    Args:
        board: what it is.
        faults: what goes wrong.
        baud: rate of the line, for the times of the protocol.
        keepalive: seconds between two messages of progress.
        operation_s: how long every operation takes.
    """

    def __init__(
        self,
        board: Board,
        faults: DeviceFaults | None = None,
        *,
        baud: int = 0,
        keepalive: int = 5,
        operation_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.board = board
        self.faults = faults or DeviceFaults()
        self._baud, self._keepalive, self._operation_s = baud or 115200, keepalive, operation_s
        self._link: AgentLink | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._booting: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._endless = Endless(self.faults.hostile)
        self._replayed: list[bytes] = []
        self._asked_in: str | None = None

    def power_on(self) -> None:
        """Start the agent."""
        self._booting = None
        versions = (2, 7) if "version" in self.faults.hostile else (1,)
        self._link = AgentLink(self._baud, versions, keepalive=self._keepalive)
        self._clerk = Clerk(self.board, self._begin, self._answer)
        self.send(_BOOT_MESSAGES)
        self._link.start()
        self._flush()

    def power_off(self) -> None:
        """Everything that is not in the board's flash is gone."""
        self._link = None
        for timer in (self._timer, self._booting):
            if timer is not None:
                timer.cancel()
        self._timer = self._booting = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def reset(self) -> None:
        """As when somebody presses the button."""
        self.power_off()
        self.board.note("reset")
        self._booting = asyncio.get_running_loop().call_later(self.faults.boot_s, self.power_on)

    def hear(self, data: bytes) -> None:
        """Octets of the station."""
        link = self._link
        if link is None:
            return
        link.feed(data, self._now())
        self.let_go = link.ended
        while link.messages and self._link is link:
            self._asked_in = link.session
            message = link.messages.popleft()
            if link.waiting < _MOST_WAITING:
                self._clerk.take(message)
        self._flush()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _flush(self) -> None:
        link = self._link
        if link is None:
            return
        if link.out:
            octets = bytes(link.out)
            link.out.clear()
            around = ESCAPES.encode() if "escapes" in self.faults.hostile else b""
            self.send(around + octets + around)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if link.due is not None:
            self._timer = asyncio.get_running_loop().call_at(link.due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._link is not None:
            self._link.tick(self._now())
            self._flush()

    def more(self) -> bytes:
        """Hostile devices go on talking, once they were asked something."""
        return self._endless.more() if self._asked_in is not None else b""

    # operations

    def _begin(self, request: Request, params: dict[str, Any]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._operate(request, params))

    async def _operate(self, request: Request, params: dict[str, Any]) -> None:
        operation = request.operation
        if self.faults.take(operation, "reset-before"):
            asyncio.get_running_loop().call_soon(self.reset)
            return
        keeping = asyncio.get_running_loop().create_task(self._keep_alive(request))
        try:
            answer = await self._do(request, params)
        finally:
            keeping.cancel()
        if self.faults.take(operation, "reset-after"):
            asyncio.get_running_loop().call_soon(self.reset)
            return
        if self.faults.take(operation, "silent"):
            return
        if self.faults.take(operation, "cut") and self.line is not None:
            self.line.cut()
        self._clerk.finish(request, answer)
        self._flush()

    async def _do(self, request: Request, params: dict[str, Any]) -> Answer:
        operation = request.operation
        slow = self.faults.slow_s if self.faults.take(operation, "slow") else self._operation_s
        if "progress" in self.faults.hostile and operation != "facts":
            slow = 1e9
        if slow:
            await asyncio.sleep(slow)
        try:
            if self.faults.take(operation, "refuse"):
                raise RefusalError("keystore", "the simulated keystore is out of order", 3)
            if takes_long(self.board, operation):
                result = await asyncio.to_thread(perform, self.board, operation, params)
            else:
                result = perform(self.board, operation, params)
        except RefusalError as error:
            return error_answer(request.id, error)
        self._clerk.write_down(request, result)
        return {"id": request.id, "result": spoil_result(operation, result, self.board, self.faults.hostile)}

    async def _keep_alive(self, request: Request) -> None:
        begin = self._now()
        while True:
            await asyncio.sleep(0.05 if "progress" in self.faults.hostile else self._keepalive)
            link = self._link
            if link is not None and link.idle and self._asked_in == link.session:
                note = {"elapsed": int(self._now() - begin), "note": f"{request.operation} is under way"}
                link.send(write_object({"id": request.id, "progress": note}), self._now())
                self._flush()

    def _answer(self, answer: Answer) -> None:
        link = self._link
        # a session that never asked gets no answer: the station there asks again, with the same id
        if link is None or link.session is None or self._asked_in != link.session:
            return
        if self.faults.hostile & {"endless", "long-line"}:
            return
        for message in self._spoilt(answer):
            link.send(message, self._now())

    def _spoilt(self, answer: Answer) -> list[bytes]:
        message, hostile = write_object(answer), self.faults.hostile
        messages = [message]
        if "other-answer" in hostile:
            messages.insert(0, write_object(answer | {"id": "r0-facts-1"}))
        if "replay" in hostile:
            messages = [*self._replayed, message]
            self._replayed.append(message)
        if "bad-json" in hostile:
            nested = b"[" * 40 + b"]" * 40
            messages = [message[:-1] + b',"id":"x","deep":' + nested + b"}"]
        if "long-message" in hostile and self.line is not None and self._link is not None:
            payload = b"ffffff" + b"0" * 64 + b"x" * 100
            self.send(Frame("m", self._link.session or "00000000", 1, 0, payload).to_bytes())
            return []
        return messages
