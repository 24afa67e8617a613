"""GnuTLS's SRP server, and a relay that sees and changes TLS records on their way."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from tests.ports import free_port
from tests.transports.test_foreign_servers import running

USER, PASSWORD = "router-7", "s\N{LATIN SMALL LETTER E WITH ACUTE}same, open"
CREDENTIALS = Credentials(USER, Secret(PASSWORD))
BAD_PASSWORD = "correct horse"
WRONG = Credentials(USER, Secret(BAD_PASSWORD))

# RFC 3526 section 3: a safe prime of 2048 bits, as good as any, but not one of RFC 5054 appendix A
MODP_2048 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB9ED529077096966D"
    "670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)
GROUPS = {1536: 2, 2048: 3, 3072: 4, 4096: 5}
"""srptool's numbers of the groups."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz./"

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE = 20, 21, 22
SERVER_HELLO, SERVER_KEY_EXCHANGE, CLIENT_KEY_EXCHANGE = 2, 12, 16


def make_verifiers(
    directory: Path, *, bits: int = 2048, password: str = PASSWORD, zero_salt: bool = False
) -> tuple[Path, Path]:
    """The two files of gnutls-serv, made by GnuTLS's own tool, again until the salt is of the kind that is wanted."""
    verifiers, groups = directory / "tpasswd", directory / "tpasswd.conf"
    subprocess.run(["srptool", "--create-conf", groups], check=True, capture_output=True, timeout=30)
    words = ["srptool", "-u", USER, "-i", str(GROUPS[bits]), "-p", verifiers, "-v", groups]
    while True:
        subprocess.run(words, input=password.encode() + b"\n", check=True, capture_output=True, timeout=30)
        if _begins_with_zero(verifiers.read_text().split(":")[2]) == zero_salt:
            return verifiers, groups


def _begins_with_zero(salt: str) -> bool:
    """Of 16 octets as srptool writes them: a number in digits of six bits."""
    number = 0
    for digit in salt:
        number = number * 64 + _DIGITS.index(digit)
    return number < 1 << 120


@contextlib.contextmanager
def gnutls_srp(
    directory: Path, *, exchange: str = "SRP", more: tuple[str, ...] = (), **options: object
) -> Iterator[str]:
    """A running gnutls-serv with one key exchange; gives its URL and writes gnutls.log."""
    directory.mkdir(exist_ok=True)
    verifiers, groups = make_verifiers(directory, **options)
    port = free_port()
    command = [
        "gnutls-serv", "--http", "--port", str(port), "--priority", f"NORMAL:-KX-ALL:+{exchange}:-VERS-ALL:+VERS-TLS1.2",
        "--srppasswd", str(verifiers), "--srppasswdconf", str(groups), *more,
    ]  # fmt: skip
    with running(command, port, directory / "gnutls.log") as server:
        yield server


Change = Callable[[int, bytes], list[tuple[int, bytes]]]
"""Content type and fragment of a record, and what to send on instead."""


class Relay:
    """A man in the middle: passes TLS 1.2 records between a client and a server on this machine.

    Args:
        url: the server.
        to_server: changes what the client says.
        to_client: changes what the server says.
    """

    def __init__(self, url: str, *, to_server: Change | None = None, to_client: Change | None = None) -> None:
        self._port = int(url.rpartition(":")[2])
        self._to_server, self._to_client = to_server, to_client
        self.connections = 0
        self.said: dict[str, list[tuple[int, bytes]]] = {"client": [], "server": []}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"

    def alerts(self, who: str) -> list[int]:
        """Descriptions of the alerts somebody sent in clear, where there has to be one."""
        end = time.monotonic() + 60
        while True:
            found = [data[1] for kind, data in self.said[who] if kind == ALERT and len(data) == 2]
            if found or time.monotonic() > end:
                return found
            time.sleep(0.01)

    def handshakes(self, who: str) -> list[tuple[int, bytes]]:
        """Types and bodies of the handshake messages of the first connection that were in clear."""
        found = []
        for record, data in self.said[who]:
            if record == CHANGE_CIPHER_SPEC:
                break
            found += messages(data) if record == HANDSHAKE else []
        return found

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        for sock in self._sockets:
            sock.close()

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._port), 10)
            self._sockets += [client, server]
            for sock in (client, server):
                sock.settimeout(15)
            self._spawn(self._pass, "client", client, server, self._to_server)
            self._spawn(self._pass, "server", server, client, self._to_client)

    def _pass(self, who: str, source: socket.socket, sink: socket.socket, change: Change | None) -> None:
        with contextlib.suppress(OSError), source.makefile("rb") as stream:
            while head := stream.read(5):
                kind, data = head[0], stream.read(int.from_bytes(head[3:]))
                self.said[who].append((kind, data))
                for out, body in change(kind, data) if change else [(kind, data)]:
                    sink.sendall(bytes([out]) + b"\x03\x03" + len(body).to_bytes(2) + body)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def messages(data: bytes) -> list[tuple[int, bytes]]:
    """The handshake messages in one record: type and body."""
    found = []
    while data:
        size = int.from_bytes(data[1:4])
        found.append((data[0], data[4 : 4 + size]))
        data = data[4 + size :]
    return found


def changed(kind: int, change: Callable[[bytes], bytes]) -> Change:
    """A Change for the handshake messages of one kind."""

    def pass_on(record: int, data: bytes) -> list[tuple[int, bytes]]:
        if record != HANDSHAKE or data[:1] not in {bytes([number]) for number in (0, 1, 2, 12, 14, 16)}:
            return [(record, data)]
        out = b""
        for number, body in messages(data):
            new = change(body) if number == kind else body
            out += bytes([number]) + len(new).to_bytes(3) + new
        return [(record, out)]

    return pass_on


def srp_params(body: bytes) -> list[bytes]:
    """N, g, s and B of a ServerKeyExchange (RFC 5054 section 2.8.2)."""
    values = []
    for width in (2, 2, 1, 2):
        size = int.from_bytes(body[:width])
        values.append(body[width : width + size])
        body = body[width + size :]
    return values


def server_key_exchange(prime: bytes, generator: bytes, salt: bytes, public: bytes) -> bytes:
    """The reverse."""
    fields = ((2, prime), (2, generator), (1, salt), (2, public))
    return b"".join(len(value).to_bytes(width) + value for width, value in fields)
