"""One client's connection: handshake, then requests until one side has enough."""

from __future__ import annotations

import math
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from OpenSSL import SSL

from device_sdk_simulators.http.address import peer_address
from device_sdk_simulators.http.messages import Handler, HttpError, Request, Response, TlsFacts
from device_sdk_simulators.http.parser import ConnectionEnded, Limits, RequestReader
from device_sdk_simulators.http.tls import Accept
from device_sdk_simulators.http.wire_faults import ends_at_once, send_spoilt
from device_sdk_simulators.http.writer import serialize

_LINGER_S = 1.0
_GRACE_S = 0.2
_PIECE_BYTES = 256 * 1024


class Connection:
    """One accepted connection.

    Args:
        sock: the accepted socket; owned from here on.
        accept: the listener's TLS.
        number: counted from 1, for the log.
        handler: answers requests; exceptions of its own become 500.
        clock: for the Date header.
        limits: bounds.
    """

    def __init__(
        self,
        sock: socket.socket,
        accept: Accept,
        number: int,
        handler: Handler,
        clock: Callable[[], datetime],
        limits: Limits,
    ) -> None:
        self.number = number
        self._sock = sock
        self._handler = handler
        self._clock = clock
        self._limits = limits
        self._since = time.monotonic()
        self._deadline = self._since + limits.handshake_s
        self._waits = True
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tls = accept(sock)
        self._source = peer_address(sock)
        self._facts = TlsFacts()
        self._ended = threading.Event()
        self._unsent = 0

    def waiting_s(self, now: float) -> float:
        """For how many seconds the client has been owing us something; 0 while it is being answered."""
        return now - self._since if self._waits and not self._ended.is_set() else 0.0

    @property
    def unsent(self) -> int:
        """Bytes of the answer that its client has not taken yet."""
        return 0 if self._ended.is_set() else self._unsent

    def stalled_s(self, now: float) -> float:
        """For how many seconds the client has been taking none of its answer; 0 if there is none for it."""
        return now - self._since if self.unsent else 0.0

    def is_overdue(self, now: float) -> bool:
        """Whether the time for the present step is over, and the thread has not seen it yet."""
        return now > self._deadline + _GRACE_S and not self._ended.is_set()

    def serve(self) -> None:
        """Speak with the client until it leaves, breaks the rules or takes too long; never raises for what it sends."""
        try:
            self._wait_at_most(self._limits.handshake_s)
            self._facts = self._tls.handshake()
            self._converse()
        except (ConnectionEnded, SSL.Error, OSError):
            pass
        finally:
            self._sock.close()

    def abort(self) -> None:
        """Wake the thread that serves this connection, from another one."""
        self._ended.set()
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _converse(self) -> None:
        reader = RequestReader(self._receive, self.send, self._limits)
        # by turns, in a function of their own: who waits for the next request keeps no answer in memory
        while self._goes_on(reader):
            pass
        self._linger()

    def _goes_on(self, reader: RequestReader) -> bool:
        """Answer one request; whether another one may follow."""
        self._wait_at_most(self._limits.idle_s)
        reader.wait()
        self._wait_at_most(self._limits.request_s)
        try:
            request = reader.next_request()
        except HttpError as error:
            request = Request("?", "?", error=error)
        self._take_time()
        response = self._handler(replace(request, tls=self._facts, connection=self.number, source=self._source))
        closing = request.version == "HTTP/1.0" or (request.header("Connection") or "").lower() == "close"
        response.close = response.close or closing or request.error is not None
        self._answer(response, head_only=request.method == "HEAD")
        return not response.close

    def _answer(self, response: Response, *, head_only: bool) -> None:
        if response.wire:
            if response.file is not None:
                response.body, response.file = response.file.read_bytes(), None
            if ends_at_once(response.wire):
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            # faults take the time they are told to
            send_spoilt(response, self._clock(), self.send, self._ended.wait)
            return
        self._wait_at_most(self._limits.answer_s, for_client=False)
        self._unsent = 0 if head_only else len(response.body)
        try:
            for piece in serialize(response, self._clock(), head_only=head_only):
                self.send(piece)
                self._since = time.monotonic()
                self._unsent = max(0, self._unsent - len(piece))
        finally:
            self._unsent = 0
        if response.file is not None and not head_only:
            self._send_file(response.file, response.sent)

    def _send_file(self, path: Path, sent: Callable[[], None] | None) -> None:
        with path.open("rb") as file:
            left = path.stat().st_size
            while piece := file.read(_PIECE_BYTES):
                left -= len(piece)
                self._wait_at_most(self._limits.answer_s, for_client=False)
                if sent is not None and not left:
                    self.send(piece[:-1])
                    sent()
                    piece = piece[-1:]  # what is left of it
                self.send(piece)

    def send(self, data: bytes) -> None:
        """Bytes in one TLS write (records of 16 KiB)."""
        try:
            self._tls.sendall(data)
        except SSL.WantWriteError as error:
            raise ConnectionEnded from error

    def _receive(self) -> bytes:
        if time.monotonic() > self._deadline:
            raise ConnectionEnded
        try:
            data = self._tls.recv(16384)
        except (SSL.WantReadError, SSL.ZeroReturnError) as error:
            raise ConnectionEnded from error
        if not data:
            raise ConnectionEnded
        return data

    def _take_time(self) -> None:
        self._deadline, self._waits = math.inf, False

    def _wait_at_most(self, seconds: float, *, for_client: bool = True) -> None:
        # The kernel ends a blocking read or write in time; a client that drips bytes meets the deadline instead, here
        # or, where OpenSSL reads and writes many times in one call, by the listener.
        self._since = time.monotonic()
        self._deadline, self._waits = self._since + seconds, for_client
        timeval = struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def _linger(self) -> None:
        # Closing with unread bytes makes the kernel send a reset, which can overtake the answer.
        self._tls.shutdown()
        self._sock.shutdown(socket.SHUT_WR)
        self._wait_at_most(_LINGER_S)
        while time.monotonic() < self._deadline and self._sock.recv(65536):
            pass
