"""From an address to listen on to the name clients know it by."""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

_ANY = {"0.0.0.0": "localhost", "127.0.0.1": "localhost", "::": "::1"}  # noqa: S104 - nothing is bound here


def client_name(host: str) -> str:
    """The name or address for clients and for the TLS certificate: "localhost", "::1", or the host itself."""
    with suppress(ValueError):
        host = str(ip_address(host))
    return _ANY.get(host, host)


def in_url(name: str) -> str:
    """A name or address as it stands in a URL: IPv6 in brackets (RFC 3986 section 3.2.2)."""
    try:
        return f"[{name}]" if isinstance(ip_address(name), IPv6Address) else name
    except ValueError:
        return name


def peer_address(sock: socket.socket) -> str:
    """The address of a connection's other end; empty if it has left already."""
    try:
        return str(sock.getpeername()[0])
    except (OSError, IndexError):
        return ""
