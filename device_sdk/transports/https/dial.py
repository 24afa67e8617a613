"""From a name to a TCP connection, within a time that includes the name's resolution."""

from __future__ import annotations

import os
import socket
import threading
from typing import Any, ClassVar

from device_sdk.transports.https.timed import Deadline

_Address = tuple[Any, ...]
_UNLIMITED_S = 1e9


def dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address of a host that answers; each gets its share of what is left of the time.

    Args:
        host: name or IP literal without brackets.
        port: TCP port.
        deadline: for name and connection together.

    Raises:
        OSError: no address answers; the error of the last one.
        socket.gaierror: the name has no address.
        TransportTimeoutError: the deadline.
    """
    found = resolve(host, port, deadline)
    failure: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(found):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(deadline.limit(_UNLIMITED_S) / (len(found) - number))
            sock.connect(address)
        except OSError as exc:
            failure = exc
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(failure, TimeoutError):
        deadline.expire()
    raise failure or OSError(f"{host} has no address")


def resolve(host: str, port: int, deadline: Deadline) -> list[_Address]:
    """The addresses of a host, as from `socket.getaddrinfo`.

    The system's resolver knows no time limit and cannot be stopped. It runs in a thread that is left to itself when the
    time is over; whoever asks for the same name meanwhile waits for the same thread, so that there is one for each name
    at most. It is a daemon: a program may end without it.

    Raises:
        socket.gaierror: the name has no address.
        TransportTimeoutError: the deadline.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # a name
    except UnicodeError as exc:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from exc
    lookup = _Lookup.of(host, port)
    if not lookup.done.wait(deadline.limit(_UNLIMITED_S)):
        deadline.expire()
    if lookup.failure is not None:
        raise lookup.failure
    return lookup.found


class _Lookup(threading.Thread):
    """One name being resolved."""

    _running: ClassVar[dict[tuple[str, int], _Lookup]] = {}
    _lock = threading.Lock()

    def __init__(self, host: str, port: int) -> None:
        super().__init__(name=f"resolve {host}", daemon=True)
        self._place = host, port
        self.done = threading.Event()
        self.found: list[_Address] = []
        self.failure: OSError | None = None

    @classmethod
    def of(cls, host: str, port: int) -> _Lookup:
        """The one that is running for this name, or a new one."""
        with cls._lock:
            lookup = cls._running.get((host, port))
            if lookup is None:
                lookup = cls._running[host, port] = cls(host, port)
                lookup.start()
            return lookup

    @classmethod
    def forget(cls) -> None:
        """In a forked child: its parent's threads are not there."""
        cls._running, cls._lock = {}, threading.Lock()

    def run(self) -> None:
        try:
            self.found = socket.getaddrinfo(*self._place, type=socket.SOCK_STREAM)
        except OSError as exc:
            self.failure = exc
        except UnicodeError as exc:
            self.failure = socket.gaierror(socket.EAI_NONAME, f"not a host name: {exc}")
        finally:
            with self._lock:
                self._running.pop(self._place, None)
            self.done.set()


os.register_at_fork(after_in_child=_Lookup.forget)
