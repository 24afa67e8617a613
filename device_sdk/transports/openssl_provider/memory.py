"""Structures that OpenSSL reads, and memory that outlives the interpreter.

OpenSSL runs destructors from its own exit handler, after Python is gone: a Python callback there is a crash. So whatever
OpenSSL frees was taken from malloc() and is freed by libc's free() itself, and tables and callbacks are never released.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from device_sdk.transports.openssl_provider import failures

_T = TypeVar("_T")


class Dispatch(ctypes.Structure):
    """OSSL_DISPATCH: a function's number and its address."""

    _fields_ = (("number", ctypes.c_int), ("function", ctypes.c_void_p))


class Algorithm(ctypes.Structure):
    """OSSL_ALGORITHM: names, properties and dispatch table of one implementation."""

    _fields_ = (
        ("names", ctypes.c_char_p),
        ("properties", ctypes.c_char_p),
        ("table", ctypes.c_void_p),
        ("text", ctypes.c_char_p),
    )


_libc = ctypes.CDLL(None)
_malloc, _free = _libc.malloc, _libc.free
_malloc.restype, _malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]

FREE: int = ctypes.cast(_free, ctypes.c_void_p).value or 0
"""Address of libc's free(), the destructor in every dispatch table."""


def pin(thing: _T) -> _T:
    """Keep an object for the life of the process, beyond the end of the interpreter."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
    return thing


def allocate(structure: type[ctypes.Structure]) -> int:
    """Address of a zeroed structure from malloc()."""
    address = _malloc(ctypes.sizeof(structure))
    if not address:
        raise MemoryError
    ctypes.memset(address, 0, ctypes.sizeof(structure))
    return int(address)


def duplicate(structure: type[ctypes.Structure], address: int) -> int:
    """Address of a copy from malloc()."""
    copy = allocate(structure)
    ctypes.memmove(copy, address, ctypes.sizeof(structure))
    return copy


def callback(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], int]:
    """Make a C function of a Python function and give its address; an exception becomes the result 0 and is remembered."""
    prototype = ctypes.CFUNCTYPE(result, *arguments)

    def decorate(function: Callable[..., Any]) -> int:
        def guarded(*values: Any) -> Any:
            try:
                return function(*values)
            except BaseException as exc:  # noqa: BLE001  # nothing may cross the C frames; it is raised after the TLS call
                failures.remember(exc)
                return 0

        return ctypes.cast(pin(prototype(guarded)), ctypes.c_void_p).value or 0

    return decorate


def dispatch_table(entries: Sequence[tuple[int, int]]) -> int:
    """Address of a dispatch table; each entry is OpenSSL's function number and an address."""
    table = pin((Dispatch * (len(entries) + 1))())
    for slot, (number, function) in zip(table, entries, strict=False):
        slot.number, slot.function = number, function
    return ctypes.addressof(table)


def algorithm_table(entries: Sequence[tuple[bytes, bytes, int]]) -> int:
    """Address of an algorithm table; each entry is names, properties and the address of a dispatch table."""
    table = pin((Algorithm * (len(entries) + 1))())
    for slot, (names, properties, functions) in zip(table, entries, strict=False):
        slot.names, slot.properties, slot.table = pin(names), pin(properties), functions
    return ctypes.addressof(table)
