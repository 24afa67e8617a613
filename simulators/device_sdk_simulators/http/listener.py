"""Accepts connections and gives each a thread; stops cleanly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime

from OpenSSL import SSL

from device_sdk_simulators.http.connection import Connection
from device_sdk_simulators.http.messages import Handler
from device_sdk_simulators.http.parser import ConnectionEnded, Limits
from device_sdk_simulators.http.tls import Accept, TlsSettings, certificate_tls

_BACKLOG = 128
_STOP_S = 10.0
_LOOK_S = 0.25
"""How often slow connections are looked for."""


class Listener:
    """An HTTPS server on one port.

    Args:
        handler: answers requests; called from many threads.
        tls: certificates and protocol versions, or TLS of another kind.
        clock: for the Date header.
        host: address to bind; IPv4, or IPv6 if it holds a colon.
        port: 0 picks a free one.
        limits: bounds of requests and connections.

    Attributes:
        before_connection: called for every connection before its handshake; may call `use`; must not raise.
    """

    def __init__(
        self,
        handler: Handler,
        tls: TlsSettings | Accept,
        clock: Callable[[], datetime],
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self.before_connection: Callable[[], None] | None = None
        self.connections = 0
        self._handler = handler
        self._clock = clock
        self._limits = limits or Limits()
        self._tls = certificate_tls(tls) if isinstance(tls, TlsSettings) else tls
        self._open: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(self._limits.connections)
        self._stopping = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self._socket.settimeout(_LOOK_S)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"https-{self.port}", daemon=True)
        self._connection_name = f"https-{self.port}-{id(self)}-connection"

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def use(self, settings: TlsSettings) -> None:
        """Show another certificate, or other protocol versions, to connections made from now on."""
        self._tls = certificate_tls(settings)

    def drop_connections(self) -> None:
        """End every open connection without a word, as a crash would."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.abort()

    def end(self) -> None:
        """End every connection and take no others; handlers that are at work go on, for nobody."""
        self._stopping.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._thread.is_alive():
            self._thread.join()
        self.drop_connections()

    def stop(self) -> None:
        """End every connection and thread; returns when they are gone, or after ten seconds."""
        self.end()
        # also those that have let their connection go, and are about to end
        threads = [one for one in threading.enumerate() if one.name == self._connection_name]
        until = time.monotonic() + _STOP_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _accept(self) -> None:
        looked = 0.0
        while not self._stopping.is_set():
            if time.monotonic() - looked > _LOOK_S:
                looked = time.monotonic()
                self._end_overdue()
            try:
                sock, _address = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                # the socket was closed, or this process has no file descriptor left: those in use will come back
                self._stopping.wait(0.05)
                continue
            if self._find_place():
                self._begin(sock)
            else:
                sock.close()

    def _find_place(self) -> bool:
        """Wait until there are fewer connections than the limit; False if the listener stops instead."""
        while not self._stopping.is_set():
            if self._slots.acquire(timeout=0.05):
                return True
            self._end_overdue()
            self._make_room()
        return False

    def _begin(self, sock: socket.socket) -> None:
        self.connections += 1
        if self.before_connection is not None:
            self.before_connection()
        try:
            connection = Connection(sock, self._tls, self.connections, self._handler, self._clock, self._limits)
        except (OSError, SSL.Error, ConnectionEnded):
            # the client has left already
            sock.close()
            self._slots.release()
            return
        thread = threading.Thread(target=self._serve, args=(connection,), name=self._connection_name, daemon=True)
        with self._lock:
            self._open[connection] = thread
        try:
            thread.start()
        except RuntimeError:
            # no more threads to be had at the moment
            sock.close()
            self._forget(connection)

    def _end_overdue(self) -> None:
        now = time.monotonic()
        with self._lock:
            overdue = [connection for connection in self._open if connection.is_overdue(now)]
            sending = [connection for connection in self._open if connection.unsent]
        for connection in (*overdue, *self._stalled(sending, now)):
            connection.abort()

    def _stalled(self, sending: list[Connection], now: float) -> Iterator[Connection]:
        """Where clients leave too much in our memory, those who have taken nothing for longest."""
        surplus = sum(connection.unsent for connection in sending) - self._limits.unsent_bytes
        for connection in sorted(sending, key=lambda one: one.stalled_s(now), reverse=True):
            if surplus <= 0 or connection.stalled_s(now) < self._limits.stalled_s:
                return
            surplus -= connection.unsent
            yield connection

    def _make_room(self) -> None:
        """End the connection whose client has been silent for longest, if that is long."""
        now = time.monotonic()
        with self._lock:
            longest = max(self._open, key=lambda connection: connection.waiting_s(now), default=None)
        if longest is not None and longest.waiting_s(now) > self._limits.crowded_s:
            longest.abort()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._open.pop(connection, None)
        self._slots.release()
