"""A small station for the serial protocol, of its own: asks one thing at a time, and sends again until an answer comes."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import warnings
import zlib
from types import TracebackType
from typing import Any, Self

import serial

PATIENCE_S = 60.0


class SilentError(Exception):
    """No answer in time, or the line is gone."""


class RefusedError(Exception):
    """The device said no; the text is the code of its error."""


def frame(kind: str, session: str, message: int = 0, offset: int = 0, payload: bytes = b"") -> bytes:
    body = f"{'0' if kind == 'H' else '1'}{kind}{session}{message:04x}{offset:06x}{len(payload):04x}".encode() + payload
    body += b"%08x" % zlib.crc32(body)
    return b"~" + body.replace(b"}", b"}]").replace(b"~", b"}^") + b"~"


class Station:
    """One line, opened."""

    def __init__(self, url: str, baud: int = 115200, patience_s: float = PATIENCE_S, resend_s: float = 1.0) -> None:
        self.patience_s, self.resend_s = patience_s, resend_s
        with warnings.catch_warnings():
            # pyserial sets its thread for RFC 2217 up in an old way
            warnings.simplefilter("ignore", DeprecationWarning)
            self.port = serial.serial_for_url(url, baud, timeout=0.05)
        self.seen = bytearray()
        self._rest = bytearray()
        self.session = ""
        self.progress: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.port.close()

    def frames(self) -> list[tuple[str, str, int, int, bytes]]:
        """What came since the last call, after at most a twentieth of a second."""
        try:
            data = self.port.read(1)
            data += self.port.read(min(4096, self.port.in_waiting)) if data else b""
        except serial.SerialException as error:
            raise SilentError(str(error)) from error
        self.seen += data
        self._rest += data
        *whole, rest = bytes(self._rest).split(b"~")
        self._rest = bytearray(rest)
        return [one for piece in whole if (one := self._frame(piece))]

    @staticmethod
    def _frame(piece: bytes) -> tuple[str, str, int, int, bytes] | None:
        body = piece.replace(b"}^", b"~").replace(b"}]", b"}")
        if len(body) < 32 or not body[1:2].islower() or body[-8:] != b"%08x" % zlib.crc32(body[:-8]):
            return None
        return chr(body[1]), body[2:10].decode(), int(body[10:14], 16), int(body[14:20], 16), body[24:-8]

    def hello(self, versions: tuple[int, ...] = (1,)) -> dict[str, Any]:
        nonce = secrets.token_hex(4)
        payload = json.dumps({"versions": versions, "receive": 1024}, separators=(",", ":")).encode()
        deadline, again = time.monotonic() + self.patience_s, 0.0
        while time.monotonic() < deadline:
            if time.monotonic() >= again:
                self.port.write(frame("H", nonce, payload=payload))
                again = time.monotonic() + self.resend_s
            for kind, session, _, _, body in self.frames():
                if kind == "h" and session == nonce:
                    answer: dict[str, Any] = json.loads(body)
                    self.session = answer["session"]
                    self.receive = answer["receive"]
                    self._sent = self._got = self._length = 0
                    return answer
        raise SilentError("no hello")

    def bye(self) -> None:
        self.port.write(frame("B", self.session))
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            if any(kind == "b" for kind, *_ in self.frames()):
                return
        raise SilentError("no bye")

    def ask(self, operation: str, request_id: str | None = None, **params: Any) -> dict[str, Any]:
        """The result of an operation; bytes are sent as base64."""
        values = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in params.items()}
        request = {"id": request_id or secrets.token_hex(6), "op": operation, "params": values}
        answer = self.answer_to(json.dumps(request, separators=(",", ":")).encode())
        if "error" in answer:
            raise RefusedError(answer["error"]["code"])
        return dict(answer["result"])

    def answer_to(self, message: bytes) -> dict[str, Any]:
        self._sent += 1
        self._message, self._have, self._incoming, self._again = message, 0, b"", 0.0
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline:
            self._send_part()
            for kind, session, number, offset, payload in self.frames():
                if kind == "r" and session in (self.session, "00000000") and (self._have or session == self.session):
                    raise ConnectionResetError(session)
                if session != self.session:
                    continue
                if kind == "a" and number == self._sent and offset > self._have:
                    self._have, self._again = offset, 0.0
                answer = self._take(kind, number, offset, payload) if kind in "md" else None
                if answer is not None:
                    return answer
        raise SilentError("no answer")

    def _send_part(self) -> None:
        message, have = self._message, self._have
        if have == len(message) or time.monotonic() < self._again:
            return
        if have == 0:
            head = b"%06x" % len(message) + hashlib.sha256(message).hexdigest().encode()
            part = frame("M", self.session, self._sent, 0, head + message[: self.receive - 70])
        else:
            part = frame("D", self.session, self._sent, have, message[have : have + self.receive])
        self.port.write(part)
        self._again = time.monotonic() + self.resend_s

    def _take(self, kind: str, number: int, offset: int, payload: bytes) -> dict[str, Any] | None:
        if number == self._got:
            self.port.write(frame("A", self.session, number, self._length))
            return None
        if kind == "m" and not self._incoming:
            self._incoming, self._length = payload, int(payload[:6], 16)
        elif kind == "d" and self._incoming and offset == len(self._incoming) - 70:
            self._incoming += payload
        have = max(0, len(self._incoming) - 70)
        self.port.write(frame("A", self.session, number, have))
        if not self._incoming or have < self._length:
            return None
        value: dict[str, Any] = json.loads(self._incoming[70:])
        self._got, self._incoming = number, b""
        if "progress" not in value:
            return value
        self.progress.append(value["progress"])
        return None
