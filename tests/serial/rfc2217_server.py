"""A console server for one connection: RFC 2217 by pyserial's own manager, with a loop behind it."""

from __future__ import annotations

import socket
import threading

import serial
import serial.rfc2217


class _Connection:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        with self._lock:
            self._connection.sendall(data)


class Rfc2217Server(threading.Thread):
    """What comes over the network goes back to it, as over a plug that connects both wires."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._server.getsockname()[1]}"
        self.baud = 0
        self._connection: socket.socket | None = None
        self.start()

    def run(self) -> None:
        self._connection, _ = self._server.accept()
        writer = _Connection(self._connection)
        with self._connection, serial.serial_for_url("loop://") as port:
            manager = serial.rfc2217.PortManager(port, writer)
            while data := self._receive():
                for byte in manager.filter(data):
                    writer.write(b"".join(manager.escape(byte)))
                self.baud = port.baudrate

    def _receive(self) -> bytes:
        assert self._connection is not None
        try:
            return self._connection.recv(4096)
        except OSError:
            return b""

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.shutdown(socket.SHUT_RDWR)
        self.join(30)
        self._server.close()
