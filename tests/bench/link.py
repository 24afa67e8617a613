"""Two hosts on this machine with a line of a known length between them: network namespaces, TUN devices and a relay.

The kernel's own netem would do as well, but is not in every kernel; a TUN device is.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLIENT, SERVER = "192.0.2.1", "192.0.2.2"
_CLONE_NEWNET, _CLONE_NEWUSER = 0x40000000, 0x10000000
_TCP, _SYN = 6, 0x02
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_IP = "/usr/sbin/ip" if Path("/usr/sbin/ip").exists() else "/sbin/ip"


@dataclass(frozen=True)
class Hosts:
    """The two hosts.

    Attributes:
        client: what to put before a command so that it runs there.
        server: likewise.
        round_trips: how often the server has begun to speak after the client had spoken, since it was asked last.
    """

    client: tuple[str, ...]
    server: tuple[str, ...]
    round_trips: Callable[[], int]


@contextmanager
def two_hosts(round_trip_ms: float) -> Iterator[Hosts]:
    """CLIENT and SERVER with this round-trip time between them, until the block ends."""
    relay = subprocess.Popen(
        [sys.executable, __file__, str(round_trip_ms)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    asked, told = relay.stdin, relay.stdout
    if asked is None or told is None:
        raise RuntimeError("pipes were asked for")

    def round_trips() -> int:
        asked.write("\n")
        asked.flush()
        return int(told.readline())

    try:
        ready = told.readline().split()
        if len(ready) != 2:
            raise RuntimeError("no network namespaces here: run as root, where /dev/net/tun is")
        enter = ("nsenter", "--preserve-credentials", *(() if os.geteuid() == 0 else ("--user=" + _user(relay.pid),)))
        client, server = ((*enter, f"--net=/proc/{relay.pid}/fd/{number}") for number in ready)
        yield Hosts(client, server, round_trips)
    finally:
        asked.close()
        relay.wait(10)
        told.close()


def _user(pid: int) -> str:
    return f"/proc/{pid}/ns/user"


def _host(address: str, peer: str) -> tuple[int, int]:
    """A new namespace with one TUN device: the device, and the namespace as a descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", b"line", _IFF_TUN | _IFF_NO_PI))
    for words in (
        ("link", "set", "lo", "up"),
        ("addr", "add", address, "peer", peer, "dev", "line"),
        ("link", "set", "line", "up"),
    ):
        subprocess.run([_IP, *words], check=True)
    return tun, os.open("/proc/self/ns/net", os.O_RDONLY)


def _speaks(packet: bytes) -> bool:
    """Whether an IPv4 packet opens a TCP connection or carries data of one; acknowledgements say nothing."""
    header = 4 * (packet[0] & 0x0F)
    if packet[0] >> 4 != 4 or packet[9] != _TCP:
        return False
    (length,) = struct.unpack_from("!H", packet, 2)
    return bool(packet[header + 13] & _SYN) or length > header + 4 * (packet[header + 12] >> 4)


def _relay(tuns: tuple[int, int], one_way_s: float) -> None:
    """Carry packets, each after its time on the line, until standard input ends; a line of it asks for the round trips."""
    client, turns, asks = tuns[0], 0, False
    other = {tuns[0]: tuns[1], tuns[1]: tuns[0]}
    travelling: list[tuple[float, int, int, bytes]] = []
    count = 0
    while True:
        wait_s = max(0.0, travelling[0][0] - time.monotonic()) if travelling else None
        ready, _, _ = select.select([0, *tuns], [], [], wait_s)
        if 0 in ready:
            if not os.read(0, 1):
                return
            print(turns, flush=True)
            turns = 0
        for tun in set(ready) - {0}:
            count += 1
            packet = os.read(tun, 65536)
            if _speaks(packet):
                turns += asks and tun != client
                asks = tun == client
            heapq.heappush(travelling, (time.monotonic() + one_way_s, count, other[tun], packet))
        while travelling and travelling[0][0] <= time.monotonic():
            _, _, tun, packet = heapq.heappop(travelling)
            os.write(tun, packet)


def _main() -> None:
    if os.geteuid() != 0:
        libc = ctypes.CDLL(None, use_errno=True)
        user, group = os.geteuid(), os.getegid()
        if libc.unshare(_CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    first, client = _host(CLIENT, SERVER)
    second, server = _host(SERVER, CLIENT)
    print(client, server, flush=True)
    _relay((first, second), float(sys.argv[1]) / 2000)


if __name__ == "__main__":
    _main()
