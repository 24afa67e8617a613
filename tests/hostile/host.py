"""One EST server on one port that is honest until a case takes over: its certificate, its TLS, its HTTP or its answers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import Encoding

from tests.est.answers import bag, issue
from tests.est.pki import Ca, pem_key
from tests.est.scripted_server import Handler, Reply, ScriptedServer, Seen, http

Raw = Callable[[socket.socket], None]
"""Takes a connection before TLS and does with it what it likes."""


@dataclass(frozen=True)
class Slow(Reply):
    """Bytes sent one by one, this many seconds apart."""

    pause_s: float = 0.2


class Host(ScriptedServer):
    """A scripted server whose every layer can be taken over, and that remembers every byte it was sent in TLS."""

    raw: Raw | None = None
    received: bytearray

    def __post_init__(self) -> None:
        self.received = bytearray()
        super().__post_init__()
        self._honest_context = self._context
        self.behave()

    def behave(self) -> None:
        """Honest again."""
        self.raw = None
        self._context = self._honest_context
        self.handlers = {
            "cacerts": bag(self.ca.certificate),
            "csrattrs": lambda _seen: http(404),
            "simpleenroll": issue(self.ca),
            "simplereenroll": issue(self.ca),
        }
        self.seen.clear()
        self.received.clear()

    def answer(self, **handlers: Handler) -> None:
        """Answer some operations otherwise."""
        self.handlers = {**self.handlers, **handlers}

    def show(self, certificate, key, *chain, context: ssl.SSLContext | None = None) -> None:
        """Another TLS certificate, and what is sent along with it."""
        pem = self.directory / "shown.pem"
        pem.write_bytes(
            _key(key) + b"".join(one.public_bytes(Encoding.PEM) for one in (certificate, *chain)),
        )
        context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(pem)
        self._context = context

    def _serve(self, raw: socket.socket, number: int) -> None:
        if self.raw is None:
            super()._serve(raw, number)
            return
        self._open.add(raw)
        with raw, contextlib.suppress(OSError):
            self.raw(raw)
        self._open.discard(raw)

    def _read(self, connection: ssl.SSLSocket, number: int) -> Seen:
        return super()._read(_Recorder(connection, self.received), number)  # type: ignore[arg-type]

    def _one(self, connection: ssl.SSLSocket, number: int) -> bool:
        seen = self._read(connection, number)
        self.seen.append(seen)
        reply = self._reply(seen)
        if isinstance(reply, Slow):
            for place in range(len(reply.data)):
                connection.sendall(reply.data[place : place + 1])
                time.sleep(reply.pause_s)
        else:
            connection.sendall(reply.data)
        if reply.then == "close":
            connection.unwrap()
        return reply.then == "keep"


class _Recorder:
    """A socket that keeps a copy of what it gives."""

    def __init__(self, connection: ssl.SSLSocket, copy: bytearray) -> None:
        self._connection, self._copy = connection, copy

    def recv(self, size: int) -> bytes:
        data = self._connection.recv(size)
        self._copy += data
        return data

    def __getattr__(self, name: str):
        return getattr(self._connection, name)


def _key(key) -> bytes:
    return pem_key(key)


__all__ = ["Ca", "Host", "Raw", "Slow"]
