"""What a library frees is overwritten: glibc's allocator can do that itself (mallopt(3), M_PERTURB), and can be told when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

_M_PERTURB = -6
_FILL = 0x55
_LARGEST, _STEP = 1032, 16
"""Of a block in glibc's cache of each thread, which is not overwritten when it is freed; and from one size to the next."""
_DEEP = 32  # the cache has 7 or 16 of each size

_lock = threading.Lock()
_sections = 0


@contextmanager
def overwriting_what_is_freed() -> Iterator[None]:
    """A section in which all threads overwrite what they free; where the C library is not glibc, nothing happens.

    It costs a pass over each block. What this thread freed, and its cache kept, is overwritten at the end.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    _count(libc, 1)
    try:
        yield
    finally:
        _overwrite_cache(libc)
        _count(libc, -1)


def _count(libc: ctypes.CDLL, change: int) -> None:
    global _sections  # noqa: PLW0603  # the allocator is the process's, too
    with _lock:
        _sections += change
        libc.mallopt(_M_PERTURB, _FILL if _sections else 0)


def _overwrite_cache(libc: ctypes.CDLL) -> None:
    """Take everything out of the cache that may be in it, and give it back overwritten."""
    import ctypes

    taken = []
    for size in range(_STEP + _STEP // 2, _LARGEST + 1, _STEP):
        for _ in range(_DEEP):
            block = libc.malloc(size)
            if block:
                ctypes.memset(block, 0, size)
                taken.append(ctypes.c_void_p(block))
    for one in taken:
        libc.free(one)


@cache
def _glibc() -> ctypes.CDLL | None:
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return None
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    return libc
