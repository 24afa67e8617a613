"""Who may be inside a module: many callers, or one that restarts it, or nobody while the process forks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Callers share the gate; C_Finalize and fork need it empty, as both pull the module from under their feet."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside: dict[int, int] = {}
        self._closed_by: int | None = None
        self._single: threading.RLock | None = None

    @property
    def serial(self) -> bool:
        """Whether only one thread at a time is let in."""
        return self._single is not None

    def serialize(self) -> None:
        """From now on one thread at a time, for a module that cannot lock."""
        self._single = self._single or threading.RLock()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Be inside together with others; may be nested."""
        me = threading.get_ident()
        with self._condition:
            while self._closed_by not in (None, me) and me not in self._inside:
                self._condition.wait()
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            if self._single is None:
                yield
            else:
                with self._single:
                    yield
        finally:
            with self._condition:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                    self._condition.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Let nobody else in and wait until the others are out.

        Returns:
            Whether they went in time; if not, the gate is open again.
        """
        me = threading.get_ident()
        deadline = time.monotonic() + timeout_s
        with self._condition:
            if not self._condition.wait_for(lambda: self._closed_by is None, timeout_s):
                return False
            self._closed_by = me
            if self._condition.wait_for(lambda: not self._inside.keys() - {me}, max(0.0, deadline - time.monotonic())):
                return True
            self._closed_by = None
            self._condition.notify_all()
            return False

    def reopen(self) -> None:
        """Undo `close`."""
        with self._condition:
            self._closed_by = None
            self._condition.notify_all()

    @contextmanager
    def exclusive(self, timeout_s: float) -> Iterator[bool]:
        """Be inside alone; gives False, and no such right, if the others did not leave in time."""
        alone = self.close(timeout_s)
        try:
            yield alone
        finally:
            if alone:
                self.reopen()
