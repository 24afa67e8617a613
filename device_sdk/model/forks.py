"""Locks and lock files in a process that forks: what another thread holds at that moment nobody in the child would let go.

In the lowest layer, as keystores, transports, the state directory and CALE's revocations all have such locks.
"""

from __future__ import annotations

import fcntl
import os
import threading
import weakref
from types import TracebackType


class ForkLock:
    """A lock for `with`, not to be entered twice by a thread; in a forked child it is free, whoever held it.

    What it protects may be half changed in the child: whoever uses it has to cope with that, or with `os.getpid()`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: threading.Lock | None = None
        _locks.add(self)

    def __enter__(self) -> None:
        lock = self._lock
        lock.acquire()
        self._held = lock

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        held, self._held = self._held, None
        if held is not None:  # None in a child that was forked in here
            held.release()

    def _forget(self) -> None:
        self._lock, self._held = threading.Lock(), None


class LockFile:
    """A descriptor under flock that children of a fork do not keep: neither the lock nor the file stays theirs.

    Args:
        descriptor: of the lock file; closed by `close()`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        _files.add(self)

    def close(self) -> None:
        """Let go of the lock and close; in a child of the process that opened it this does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        try:
            # Closing is not enough if somebody forked meanwhile by other means than os.fork(): the lock is the file's.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)  # without LOCK_UN, which would be the parent's


_locks: weakref.WeakSet[ForkLock] = weakref.WeakSet()
_files: weakref.WeakSet[LockFile] = weakref.WeakSet()


def _after_in_child() -> None:
    for lock in _locks:
        lock._forget()
    for file in _files:
        file._forget()


os.register_at_fork(after_in_child=_after_in_child)
