"""A person at the virtual device's console; the product's own console driver has its tests elsewhere."""

from __future__ import annotations

import base64
import secrets
import time

import serial
from device_sdk_simulators.virtual.image import PASSWORD

# without hardware help, beside two other workers
LIMIT_S = 240.0


class Console:
    """A login on a console; `run` gives what a command printed and its exit status."""

    def __init__(self, path: str) -> None:
        self._port = serial.Serial(path, timeout=0.1)
        self._seen = b""

    def wait_for(self, words: bytes, limit_s: float = LIMIT_S) -> bytes:
        deadline = time.monotonic() + limit_s
        while words not in self._seen:
            assert time.monotonic() < deadline, f"no {words!r}: ...{self._seen[-2000:].decode(errors='replace')}"
            self._seen += self._port.read(max(1, self._port.in_waiting))
        before, _, self._seen = self._seen.partition(words)
        return before

    def send(self, words: str) -> None:
        self._port.write(words.encode())

    def log_in(self) -> None:
        self.wait_for(b"login: ")
        self.send("root\n")
        self.wait_for(b"assword: ")
        self.send(f"{PASSWORD}\n")
        self.wait_for(b"# ")
        # the marker is put together by the shell, so that its echo is not taken for it
        self.send("stty -echo; PS1= PS2=; echo 'RE''ADY'\n")
        self.wait_for(b"READY\r\n")

    def run(self, command: str) -> tuple[int, str]:
        marker = secrets.token_hex(8)
        self.send(f"{{ {command}\n}} </dev/null 2>&1; echo {marker[:8]}''{marker[8:]} $?\n")
        said = self.wait_for(marker.encode())
        status = self.wait_for(b"\r\n")
        return int(status), said.decode(errors="replace").replace("\r\n", "\n")

    def ok(self, command: str) -> str:
        status, said = self.run(command)
        assert status == 0, f"{command}: exit status {status}\n{said}"
        return said

    def put(self, data: bytes, path: str) -> None:
        lines = base64.b64encode(data).decode()
        self.send(f"base64 -d > {path} <<EOF\n")
        for start in range(0, len(lines), 512):
            self.send(lines[start : start + 512] + "\n")
        self.send("EOF\n")
        assert int(self.ok(f"sync; wc -c < {path}")) == len(data)

    def close(self) -> None:
        self._port.close()
