"""The tokens this process is connected to: one Connection each, closed when its last user lets go."""

from __future__ import annotations

import os
import threading
from collections import deque

from device_sdk.keystores.pkcs11.connection import Connection
from device_sdk.keystores.pkcs11.failures import reporting
from device_sdk.keystores.pkcs11.modules import Module, load
from device_sdk.keystores.pkcs11.tokens import TokenName, find_patiently
from device_sdk.wire.key_uri.pkcs11 import Pkcs11Uri

_connections: dict[tuple[str, TokenName], Connection] = {}
_lock = threading.RLock()
# Leases that were collected rather than closed; a finalizer may run anywhere, so it only leaves a note.
_abandoned: deque[Connection] = deque()


class Lease:
    """One user's hold on a connection; closing it twice is harmless, forgetting to close it too."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._held = True

    def close(self) -> None:
        """Let go; the last user's close logs out."""
        if self._held:
            self._held = False
            _release(self.connection)

    def share(self) -> Lease:
        """A hold of its own on the same connection."""
        with _lock:
            self.connection.users += 1
        return Lease(self.connection)

    def __del__(self) -> None:
        if self._held:
            self._held = False
            _abandoned.append(self.connection)


def connect(uri: Pkcs11Uri) -> Lease:
    """The connection to the one token that fits a URI; nothing is logged in yet.

    Raises:
        TokenNotFoundError, TokenAmbiguousError: none or several fit, or there is no module.
        KeyStoreFailedError: the module does not work.
    """
    module = load(uri)
    with reporting(str(uri)):
        found = find_patiently(module, uri, lambda: not _in_use(module))
    _release_abandoned()
    with _lock:
        connection = _connections.setdefault((module.path, found.name), Connection(module, found.name))
        connection.users += 1
    return Lease(connection)


def _in_use(module: Module) -> bool:
    _release_abandoned()
    with _lock:
        return any(connection.module is module and connection.users for connection in _connections.values())


def _release(connection: Connection) -> None:
    with _lock:
        connection.users -= 1
        if connection.users > 0:
            return
        _connections.pop((connection.module.path, connection.name), None)
    connection.close()


def _release_abandoned() -> None:
    while _abandoned:
        _release(_abandoned.popleft())


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  # another thread of the parent may have held it
    _lock = threading.RLock()
    for connection in _connections.values():
        connection.forget_parent()


os.register_at_fork(after_in_child=_after_fork_in_child)
