"""Connections that say nothing: none of them keeps others out, however many there are."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections import Counter
from contextlib import suppress
from typing import Any

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

THREADS, MOST_WAITING = 24, 16
"""How many connections are answered at the same time, and how many of those may be waiting for what they ask."""
_HANDSHAKE_S = 5.0

_log = logging.getLogger(__name__)


class Waiting:
    """Connections from which a request has not come whole yet. One too many ends another: the oldest of who has the most.

    Args:
        most: how many there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._turn = threading.Lock()
        self._from: dict[Any, str] = {}  # in the order in which they came

    def came(self, connection: Any) -> None:
        """It is to say something now."""
        with self._turn:
            self._from[connection] = str(connection.remote_addr)
            victim = self._one_too_many()
        if victim is not None:
            with suppress(OSError):  # who reads there sees the end; an SSLSocket's own method would take its state away
                socket.socket.shutdown(victim.socket, socket.SHUT_RDWR)

    def _one_too_many(self) -> Any:
        if len(self._from) <= self._most:
            return None
        most, _ = Counter(self._from.values()).most_common(1)[0]
        victim = next(one for one, address in self._from.items() if address == most)
        del self._from[victim]
        return victim

    def over(self, connection: Any) -> None:
        """It said what it wants, or has gone."""
        with self._turn:
            self._from.pop(connection, None)


class _Request(HTTPRequest):
    def respond(self) -> None:
        # no page takes a content, and the one that a guard refuses would be waited for octet by octet
        if self.chunked_read or self.inheaders.get(b"Content-Length", b"0").strip() != b"0":
            self.close_connection = True
            self.simple_response("413 Request Entity Too Large")
            return
        self.server.waiting.over(self.conn)
        super().respond()


class _Connection(HTTPConnection):
    RequestHandlerClass = _Request

    def communicate(self) -> bool:
        try:
            return self._shaken_hands() and bool(super().communicate())  # type: ignore[no-untyped-call]  # cheroot
        finally:
            self.server.waiting.over(self)

    def _shaken_hands(self) -> bool:
        """Here, in a thread that may wait, and not where connections are accepted."""
        if not isinstance(self.socket, ssl.SSLSocket) or self.socket.version() is not None:
            return True
        limit_s = self.socket.gettimeout()
        try:
            self.socket.settimeout(_HANDSHAKE_S)
            self.socket.do_handshake()
            self.socket.settimeout(limit_s)
        except OSError as error:
            _log.debug("%s: no TLS: %s", self.remote_addr, error)
            return False
        return True


class PatientServer(Server):
    """Waits for many at the same time, and for nobody for long.

    Attributes:
        waiting: those it waits for.
    """

    ConnectionClass = _Connection

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waiting = Waiting(MOST_WAITING)

    def process_conn(self, conn: Any) -> None:
        """A connection that was accepted, or says something again."""
        self.waiting.came(conn)
        super().process_conn(conn)


class LaterAdapter(BuiltinSSLAdapter):
    """TLS that begins when a thread has the connection."""

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """The socket before its handshake."""
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}
