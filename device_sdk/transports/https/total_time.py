"""A time for the whole exchange in urllib3's own pools, whose timeouts begin anew with every byte that drips in."""

from __future__ import annotations

from typing import Any

from urllib3 import PoolManager
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from device_sdk.transports.https.timed import Deadline, Timed


class _PatientConnection(HTTPSConnection):
    """urllib3's connection, of which requests and answers end with a deadline."""

    total_s: float

    def request(self, *args: Any, **options: Any) -> None:
        """Begin an exchange; see urllib3."""
        if self.sock is None:
            self.connect()
        self._start(Deadline(self.total_s))
        super().request(*args, **options)

    def getresponse(self) -> Any:
        """Go on with it, with the timeout for reading; see urllib3."""
        if isinstance(self.sock, Timed) and self.sock.deadline is not None:
            self._start(self.sock.deadline)
        return super().getresponse()

    def _start(self, deadline: Deadline) -> None:
        # with TLS to a proxy, and TLS in that, it is a socket of urllib3's own
        if isinstance(self.sock, Timed):
            wait_s = float(self.timeout) if isinstance(self.timeout, int | float) else self.total_s
            # that of the base: how an answer without a length may end is the affair of requests
            Timed.start(self.sock, deadline, wait_s)


def bound_exchanges(manager: PoolManager, total_s: float) -> None:
    """Let every exchange of a manager's pools end after so many seconds, with a TransportTimeoutError."""

    class Connection(_PatientConnection):
        pass

    class Pool(HTTPSConnectionPool):
        ConnectionCls = Connection

    Connection.total_s = total_s
    manager.pool_classes_by_scheme = {"http": HTTPConnectionPool, "https": Pool}
