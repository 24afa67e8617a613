"""OSSL_PARAM: the name-and-value arrays in which OpenSSL and its providers talk (OSSL_PARAM(3))."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from device_sdk.transports.openssl_provider.memory import pin

INTEGER, UNSIGNED, TEXT, OCTETS = 1, 2, 4, 5
_UNMODIFIED = ctypes.c_size_t(-1).value

Value: TypeAlias = int | bytes


class Param(ctypes.Structure):
    """One OSSL_PARAM."""

    _fields_ = (
        ("key", ctypes.c_char_p),
        ("type", ctypes.c_uint),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("returned", ctypes.c_size_t),
    )


ParamPointer = ctypes.POINTER(Param)


def each(params: Any) -> Iterator[Param]:
    """The parameters of an array that ends with an empty key; none for NULL."""
    index = 0
    while params and params[index].key:
        yield params[index]
        index += 1


def read(param: Param) -> int | str | bytes:
    """The value: an integer, text or octets."""
    if param.type == TEXT:
        return ctypes.string_at(param.data).decode() if param.data else ""
    raw = ctypes.string_at(param.data, param.size) if param.data else b""
    if param.type in {INTEGER, UNSIGNED}:
        return int.from_bytes(raw, sys.byteorder, signed=param.type == INTEGER)
    return raw


def write(param: Param, value: Value) -> None:
    """Answer a request for a value; without a buffer only the size is told.

    Raises:
        ValueError: the buffer is of another type or too small.
    """
    if isinstance(value, int):
        _write_integer(param, value)
    else:
        _write_octets(param, value)


def _write_integer(param: Param, value: int) -> None:
    if param.type not in {INTEGER, UNSIGNED}:
        raise ValueError(f"parameter {param.key!r} is not an integer")
    if not param.data:
        param.returned = (value.bit_length() + 7) // 8
        return
    ctypes.memmove(param.data, value.to_bytes(param.size, sys.byteorder), param.size)
    param.returned = param.size


def _write_octets(param: Param, value: bytes) -> None:
    param.returned = len(value)
    if not param.data:
        return
    if param.size < len(value):
        raise ValueError(f"parameter {param.key!r} has no room for {len(value)} bytes")
    ctypes.memmove(param.data, value, len(value))
    if param.type == TEXT and param.size > len(value):
        ctypes.memset(param.data + len(value), 0, 1)


def array(items: Sequence[tuple[bytes, int, Value | None]]) -> Any:
    """An array of parameters (key, type, value) which keeps its buffers alive."""
    params: Any = (Param * (len(items) + 1))()
    buffers = []
    for slot, (key, kind, value) in zip(params, items, strict=False):
        slot.key, slot.type, slot.returned = key, kind, _UNMODIFIED
        if value is None:
            continue
        raw = value.to_bytes(ctypes.sizeof(ctypes.c_int), sys.byteorder) if isinstance(value, int) else value
        buffer = ctypes.create_string_buffer(raw, len(raw) + 1)
        buffers.append(buffer)
        slot.data, slot.size = ctypes.cast(buffer, ctypes.c_void_p), len(raw)
    params.buffers = buffers
    return params


def description(items: Sequence[tuple[bytes, int]]) -> int:
    """Address of an array that only says which parameters there are; never released."""
    return ctypes.addressof(pin(array([(key, kind, None) for key, kind in items])))
