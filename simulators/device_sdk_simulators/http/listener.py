"""Accepts connections and gives each a thread; stops cleanly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from OpenSSL import SSL

from device_sdk_simulators.http.connection import Connection
from device_sdk_simulators.http.messages import Handler
from device_sdk_simulators.http.parser import Limits
from device_sdk_simulators.http.tls import TlsSettings, make_context

MAX_CONNECTIONS = 128


class Listener:
    """An HTTPS server on one port.

    Args:
        handler: answers requests; called from many threads.
        settings: certificates and protocol versions.
        clock: for the Date header.
        host: address to bind; IPv4, or IPv6 if it holds a colon.
        port: 0 picks a free one.
        limits: bounds of requests.
    """

    def __init__(
        self,
        handler: Handler,
        settings: TlsSettings,
        clock: Callable[[], datetime],
        host: str = "127.0.0.1",
        port: int = 0,
        limits: Limits | None = None,
    ) -> None:
        self.connections = 0
        self._handler = handler
        self._clock = clock
        self._limits = limits or Limits()
        self._context: SSL.Context = make_context(settings)
        self._open: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._stopping = threading.Event()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"https-{self.port}", daemon=True)

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def use(self, settings: TlsSettings) -> None:
        """Show another certificate, or other protocol versions, to connections made from now on."""
        self._context = make_context(settings)

    def drop_connections(self) -> None:
        """End every open connection without a word, as a crash would."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.abort()

    def stop(self) -> None:
        """End every connection and thread; returns when they are gone."""
        self._stopping.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self._thread.is_alive():
            self._thread.join()
        self.drop_connections()
        with self._lock:
            threads = list(self._open.values())
        for thread in threads:
            thread.join(timeout=10)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _address = self._socket.accept()
            except OSError:
                # the socket was closed, or this process has no file descriptor left: those in use will come back
                self._stopping.wait(0.05)
                continue
            self._slots.acquire()
            self.connections += 1
            connection = Connection(sock, self._context, self.connections, self._handler, self._clock, self._limits)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._open[connection] = thread
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            with self._lock:
                self._open.pop(connection, None)
            self._slots.release()
