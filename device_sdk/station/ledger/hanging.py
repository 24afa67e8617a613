"""Ends the wait for a server that takes connections and does not answer: the driver itself would wait for ever."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sqlalchemy import Engine, event

if TYPE_CHECKING:
    from device_sdk.station.ledger.answering import Answering

_LOOK_S = 0.25


class HangingError(TimeoutError):
    """An answer did not come, and the connection was cut."""


class Asked:
    """One transaction.

    Args:
        left_s: how long an answer may take yet, seconds.

    Attributes:
        cut: no answer came in time, and its connection was cut.
    """

    def __init__(self, left_s: Callable[[], float]) -> None:
        self.left_s = left_s
        self.cut = False


class Hanging:
    """Cuts the connections of an engine when an answer does not come; threads share it.

    Args:
        engine: whose connections are `answering.Answering`.
        answer_s: how long one answer may take, seconds, whatever else there is time for.
    """

    def __init__(self, engine: Engine, answer_s: float) -> None:
        self._answer_s = answer_s
        self._connections: dict[int, tuple[Answering, socket.socket]] = {}
        self._asked: set[Asked] = set()
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._over = False
        event.listen(engine, "connect", self._connected)
        event.listen(engine, "close", self._closed)

    @contextmanager
    def watched(self, left_s: Callable[[], float]) -> Iterator[Asked]:
        """A transaction, from before its connection is taken; all connections are cut when nothing of `left_s` is left."""
        asked = Asked(left_s)
        with self._turn:
            self._asked.add(asked)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="ledger's connections", daemon=True)
                self._thread.start()
        self._wake.set()
        try:
            yield asked
        finally:
            with self._turn:
                self._asked.discard(asked)

    def close(self) -> None:
        """Watch no more."""
        self._over = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _connected(self, connection: Answering, _record: object) -> None:
        # of its own: the number of the driver's may be another file's when it is needed
        self._connections[id(connection)] = (connection, socket.socket(fileno=os.dup(connection.fileno())))

    def _closed(self, connection: Answering, _record: object) -> None:
        kept = self._connections.pop(id(connection), None)
        if kept is not None:
            kept[1].close()

    def _watch(self) -> None:
        while not self._over:
            self._wake.wait()
            with self._turn:
                asked = tuple(self._asked)
                if not asked and not self._over:
                    self._wake.clear()
            over = any(one.left_s() <= 0 for one in asked)
            if over:
                for one in asked:
                    one.cut = True
            for connection, kept in tuple(self._connections.values()):
                if over or connection.give_up_after(self._answer_s):
                    with suppress(OSError):
                        kept.shutdown(socket.SHUT_RDWR)
            if asked:
                time.sleep(_LOOK_S)
