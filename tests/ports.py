"""Ports for servers of others, which have to be told one."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

_FIRST = 16384


def free_port() -> int:
    """A port of 127.0.0.1 that is free, and that the kernel gives nobody by itself until the server has been started."""
    below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = _FIRST + secrets.randbelow(below - _FIRST) if below > 2 * _FIRST - 1 else 0
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                return int(probe.getsockname()[1])
        except OSError:
            continue
