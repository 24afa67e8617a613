"""Standard input and output to a port of the loopback address: how one connection of a virtual device gets to a server here.

QEMU starts it for each connection (`guestfwd=...-cmd:`); its own `-tcp:` carries the first connection only.
"""

from __future__ import annotations

import os
import socket
import sys
import threading


def main() -> None:
    """Carry bytes both ways until the server ends the connection."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
        threading.Thread(target=_up, args=(connection,), daemon=True).start()
        while data := connection.recv(65536):
            os.write(1, data)
    # not through the interpreter's end: the other thread still reads
    os._exit(0)


def _up(connection: socket.socket) -> None:
    while data := os.read(0, 65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
