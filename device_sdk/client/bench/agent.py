"""A device that is talked to by its agent (docs/serial-protocol.md)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from device_sdk.client.bench.base import BenchDevice
from device_sdk.client.bench.facts import BenchKey, DeviceFacts, KeyWish, Proof
from device_sdk.client.bench.plain import facts_from_json, key_from_json, proof_from_json, wish_to_json
from device_sdk.client.bench.same import check_same
from device_sdk.client.bench.writing import REAL, Passing, write_frames
from device_sdk.errors import BenchError, DeviceSaysError, LineError, LineSilentError, WireError
from device_sdk.protocols.agent import Arrived, Closed, Event, Lost, Opened, StationLink
from device_sdk.protocols.agent.timing import DEFAULT_BAUD
from device_sdk.transports.serial import Line
from device_sdk.transports.serial.line import FLOOD_HINT, flood
from device_sdk.wire.agent.hello import AgentHello
from device_sdk.wire.agent.messages import BUSY, Progress, Refusal, Request, Result, read_from_agent

T = TypeVar("T")

_LONGEST_READ_S = 0.5
_BUSY_S = 2.0
_GOODBYE_S = 10.0
_RUN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_OUTPUT = 64 * 1024
# operations whose ids say what they are about: a station that was started anew asks the same question
_SAME_AGAIN = ("create-key", "install", "enrol")


class AgentDevice(BenchDevice):
    """The station's end of one line with an agent on it.

    Args:
        line: open; it stays so.
        baud: of the line, for the times that are waited.
        run: name of the provisioning of this device, 1 to 64 of A-Z a-z 0-9 . _ -; the same one after a restart of the
            station makes the device go on where it was. A random one if not given.
        timeout_s: for one operation, besides the time its data take on the line.
        silence_s: how long the device may say nothing at all; it may be starting.
        on_progress: told what runs on the device, and for how many seconds by now.
        on_event: told of sessions that begin and end, in words.
        passing: of time; the line's deadlines go by it.

    Raises:
        BenchError: the name of the run is none.
    """

    def __init__(
        self,
        line: Line,
        *,
        baud: int = DEFAULT_BAUD,
        run: str | None = None,
        timeout_s: float = 600.0,
        silence_s: float = 90.0,
        on_progress: Callable[[str, int], None] | None = None,
        on_event: Callable[[str], None] | None = None,
        passing: Passing = REAL,
    ) -> None:
        self._passing, self._clock = passing, passing.clock
        self._line, self._baud, self._run = line, baud, run or secrets.token_hex(8)
        self._timeout_s, self._silence_s = timeout_s, silence_s
        self._on_progress = on_progress or (lambda _name, _seconds: None)
        self._on_event = on_event or (lambda _words: None)
        self._link = StationLink(baud)
        # the request that has no answer yet, and when it is to be sent again; None if it is on its way
        self._asked: Request | None = None
        self._ask_at: float | None = None
        self._answer: dict[str, Any] | None = None
        self._closed = self._left = False
        # how much had come over the line when the agent was heard last
        self._understood = 0
        # who it said it was, and the agent that said it: another one may be on another board
        self._met: DeviceFacts | None = None
        self._boot: str | None = None
        self._anew = False
        if not _RUN.fullmatch(self._run):
            raise BenchError(f"{self._run!r} is no name for a run", hint="letters, digits, dots, dashes, underscores")

    @property
    def agent(self) -> AgentHello | None:
        """What the agent said of itself; None before the first operation."""
        return self._link.agent

    @property
    def noise(self) -> int:
        """Octets that have come since the agent was heard last."""
        return self._line.received - self._understood

    def facts(self) -> DeviceFacts:
        """See BenchDevice.facts."""
        facts = self._read(facts_from_json, self._ask("facts", {}))
        self._met = self._met or facts
        return facts

    def configure(self, config: bytes, anchors: bytes) -> None:
        """See BenchDevice.configure."""
        self._ask("configure", {"config": _text(config), "anchors": _text(anchors)})

    def create_key(self, wish: KeyWish) -> BenchKey:
        """See BenchDevice.create_key."""
        params = wish_to_json(wish)
        if not wish.again:
            del params["again"]  # optional, and newer than the rest
        return self._read(key_from_json, self._ask("create-key", params))

    def request(self, csrattrs: bytes = b"") -> bytes:
        """See BenchDevice.request."""
        return self._octets(self._ask("request", {"csrattrs": _text(csrattrs)}), "csr")

    def install(self, answer: bytes, ca_certificates: bytes) -> bytes:
        """See BenchDevice.install."""
        params = {"answer": _text(answer), "ca_certificates": _text(ca_certificates)}
        return self._fingerprint(self._ask("install", params))

    def enrol(self) -> bytes:
        """See BenchDevice.enrol."""
        return self._fingerprint(self._ask("enrol", {}))

    def prove(self, nonce: bytes) -> Proof:
        """See BenchDevice.prove."""
        return self._read(proof_from_json, self._ask("prove", {"nonce": _text(nonce)}))

    def run(self, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
        """See BenchDevice.run."""
        params = {"command": list(command), "timeout": max(1, round(timeout_s))}
        result = self._ask("run", params, self._timeout_s + timeout_s)
        status, output = result.get("status"), result.get("output")
        if type(status) is not int or not isinstance(output, str) or len(output) > _MAX_OUTPUT:
            raise self._line.failed(LineError(f"{self._line.name}: the agent's answer to run is none"))
        return status, output

    def close(self) -> None:
        """See BenchDevice.close; the line stays open. May be called twice."""
        if self._left:
            return
        self._left = True
        self._link.leave()
        deadline = self._clock() + _GOODBYE_S
        try:
            while not self._closed and self._clock() < deadline:
                self._turn(deadline)
        except BenchError:
            # a line that has gone needs no goodbye
            return

    def _ask(self, name: str, params: dict[str, Any], timeout_s: float | None = None) -> dict[str, Any]:
        if self._left:
            raise self._line.failed(BenchError(f"{self._line.name}: the agent was left already"))
        try:
            request = Request(self._id(name, params), name, params)
            octets = len(request.to_bytes())
        except WireError as error:
            raise self._line.failed(BenchError(f"{self._line.name}: {name}: {error.message}")) from error
        now = self._clock()
        # each octet may be on the line four times
        deadline = now + (self._timeout_s if timeout_s is None else timeout_s) + 40 * octets / self._baud
        self._asked, self._ask_at, self._answer = request, now, None
        begun, received = now, self._line.received
        try:
            while self._answer is None:
                now = self._turn(deadline)
                if self._anew:
                    self._meet_again()
                    self._asked, self._ask_at, self._answer = request, now, None
                self._check_times(name, now, begun, deadline, received)
        except LineSilentError:
            if not self._link.idle:
                # nothing of this request goes before the next one
                self._link.start_anew()
            raise
        finally:
            self._asked = None
        return self._answer

    def _meet_again(self) -> None:
        """Another agent answers: nothing is asked of it before it has said that it is the same device."""
        self._anew = False
        facts = self._read(facts_from_json, self._ask("facts", {}))
        if self._met is not None:
            try:
                check_same(self._met, facts)
            except BenchError as error:
                raise self._line.failed(error) from None

    def _turn(self, deadline: float) -> float:
        """Write, read, and see what happens; the time."""
        now = self._clock()
        if self._ask_at is not None and now >= self._ask_at and self._link.session and self._asked:
            self._link.send(self._asked.to_bytes())
            self._ask_at = None
        if self._asked:
            self._link.expect(now)
        write_frames(self._line, self._link, now, self._baud, passing=self._passing)
        times = [now + _LONGEST_READ_S, deadline, self._link.wake_at(), self._ask_at if self._link.session else None]
        data = self._line.read(max(now, min(at for at in times if at is not None)))
        now = self._clock()
        heard_at = self._link.heard_at
        try:
            happened = self._link.receive(data, now)
        except BenchError as error:
            error.args = (f"{self._line.name}: {error.message}",)
            raise self._line.failed(error) from None
        if self._link.heard_at != heard_at:
            self._understood = self._line.received
        for event in happened:
            self._happened(event, now)
        return now

    def _happened(self, event: Event, now: float) -> None:
        match event:
            case Opened(hello):
                stranger = self._boot not in (None, hello.boot) and self._met is not None
                self._anew = self._anew or (stranger and self._asked is not None and self._asked.op != "facts")
                self._ask_at, self._boot = (None if self._anew else now), hello.boot
                self._on_event(f"session {hello.session} with agent {hello.boot}")
            case Lost(reason):
                self._on_event(reason)
            case Closed():
                self._closed = True
            case Arrived(data):
                self._said(data, now)

    def _said(self, data: bytes, now: float) -> None:
        try:
            message = read_from_agent(data)
        except WireError as error:
            raise self._line.failed(
                LineError(f"{self._line.name}: what the agent says cannot be read: {error.message}")
            ) from error
        request = self._asked
        if request is None or message.id not in (request.id, ""):
            return  # of an operation that somebody else began
        if isinstance(message, Progress):
            self._on_progress(message.note or request.op, message.elapsed)
        elif isinstance(message, Result):
            self._answer = message.result
        elif message.code == BUSY:
            self._ask_at = now + _BUSY_S
        else:
            raise self._refused(request, message)

    def _refused(self, request: Request, refusal: Refusal) -> DeviceSaysError:
        return self._line.failed(
            DeviceSaysError(
                f"{self._line.name}: the device refused {request.op}: {refusal.message}",
                hint=refusal.hint,
                device_code=refusal.code,
                device_exit=refusal.exit_code,
            )
        )

    def _check_times(self, name: str, now: float, begun: float, deadline: float, received: int) -> None:
        if self._answer is not None:
            return
        silent_s = now - max(begun, self._link.heard_at or begun)
        if silent_s >= self._silence_s:
            said = flood(min(self._line.received - received, self.noise))
            raise self._line.failed(
                LineSilentError(
                    f"{self._line.name}: no agent answered for {silent_s:.0f} s{said}",
                    hint=FLOOD_HINT if said else "does it run there, at this baud rate? is the device on?",
                    timeout_s=self._silence_s,
                )
            )
        if now >= deadline:
            raise self._line.failed(
                LineSilentError(
                    f"{self._line.name}: {name} was not done in {deadline - begun:.0f} s",
                    hint="the device still answers; the same operation again goes on where it is",
                    timeout_s=deadline - begun,
                )
            )

    def _id(self, name: str, params: dict[str, Any]) -> str:
        if name in _SAME_AGAIN:
            about = hashlib.sha256(repr(sorted(params.items())).encode()).hexdigest()[:16]
        else:
            about = secrets.token_hex(8)
        return f"{self._run}-{name}-{about}"

    def _read(self, read: Callable[[object], T], result: dict[str, Any]) -> T:
        try:
            return read(result)
        except BenchError as error:
            raise self._line.failed(error) from None

    def _octets(self, result: dict[str, Any], name: str) -> bytes:
        value = result.get(name)
        try:
            return base64.b64decode(value if isinstance(value, str) else "?", validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._line.failed(LineError(f"{self._line.name}: the agent's {name} is no base64")) from error

    def _fingerprint(self, result: dict[str, Any]) -> bytes:
        value = result.get("certificate")
        if not isinstance(value, str) or not _SHA256.fullmatch(value):
            raise self._line.failed(LineError(f"{self._line.name}: the agent names no certificate"))
        return bytes.fromhex(value)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
