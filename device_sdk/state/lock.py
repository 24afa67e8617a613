"""One process at a time changes a state directory."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from device_sdk.errors import StateBusyError
from device_sdk.model.forks import LockFile
from device_sdk.state.files import writing

_POLL_S = 0.05


class DirectoryLock:
    """An exclusive flock on one file, entered again freely by the thread that holds it.

    The kernel lets go of it when its holder dies, so there is no stale lock to clean up. A fork meanwhile gives the child no
    part of it.

    Args:
        path: the lock file; made if it is not there, never removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread_lock = threading.RLock()
        self._depth = 0
        _locks.add(self)

    @contextmanager
    def hold(self, wait_s: float) -> Iterator[bool]:
        """Hold the lock; gives whether it was taken now (False: this thread held it already).

        Args:
            wait_s: how long to wait for another holder, in seconds.

        Raises:
            StateBusyError: another process or thread still held it after `wait_s`; the message names its process id.
            StateNotWritableError: the lock file cannot be made.
        """
        deadline = time.monotonic() + wait_s
        thread_lock = self._thread_lock  # a child that is forked in here has another one
        if not thread_lock.acquire(timeout=max(wait_s, 0.0)):
            raise self._busy(os.getpid())
        try:
            if self._depth:
                with self._deeper():
                    yield False
                return
            with writing(self._path):
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            file = LockFile(descriptor)
            try:
                self._take(descriptor, deadline)
                with self._deeper():
                    yield True
            finally:
                file.close()
        finally:
            thread_lock.release()

    def forget(self) -> None:
        """In a forked child: whatever is held is the parent's."""
        self._thread_lock, self._depth = threading.RLock(), 0

    @contextmanager
    def _deeper(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth = max(self._depth - 1, 0)

    def _take(self, descriptor: int, deadline: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._busy(self._holder(descriptor)) from None
                time.sleep(_POLL_S)
                continue
            # Only a help for people: a full disk must not keep the lock from being taken.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return

    @staticmethod
    def _holder(descriptor: int) -> int | None:
        with suppress(OSError, ValueError):
            return int(os.pread(descriptor, 32, 0))
        return None

    def _busy(self, holder: int | None) -> StateBusyError:
        who = f"process {holder}" if holder else "another process"
        return StateBusyError(
            f"{self._path.parent}: {who} is changing this state directory",
            hint="wait until it is done and run the same command again",
            path=str(self._path.parent),
        )


_locks: weakref.WeakSet[DirectoryLock] = weakref.WeakSet()


def _after_in_child() -> None:
    for lock in _locks:
        lock.forget()


os.register_at_fork(after_in_child=_after_in_child)
