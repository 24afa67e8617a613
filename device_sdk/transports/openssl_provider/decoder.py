"""OpenSSL's decoder (provider-decoder(7)): from a PEM handle to the key object it stands for.

The decoder reads PEM itself: OpenSSL 3.0 passes on only the labels it knows. For everything that is not one of our
handles it answers "nothing found", so that other people's key files load as before.
"""

from __future__ import annotations

import base64
import ctypes
import sys
from typing import Any

from device_sdk.transports.openssl_provider import native, params
from device_sdk.transports.openssl_provider.keys import EC, KEYS, kind_of
from device_sdk.transports.openssl_provider.libcrypto import Library, SizePointer
from device_sdk.transports.openssl_provider.memory import callback, dispatch_table

_HEAD = b"-----BEGIN DEVICE SDK KEY HANDLE-----\n"
_TAIL = b"\n-----END DEVICE SDK KEY HANDLE-----\n"
_OBJECT_IS_PRIVATE_KEY = 2
_BIO_READ_EX = 42

_BioRead = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, SizePointer)
_ObjectCallback = ctypes.CFUNCTYPE(ctypes.c_int, params.ParamPointer, ctypes.c_void_p)


class CoreFunctions:
    """What libcrypto offers its providers, as far as the decoder needs it; known once the provider is loaded."""

    bio_read: Any = None

    def take(self, table: Any) -> bool:
        """Pick the functions out of libcrypto's dispatch table; false if one is missing."""
        index = 0
        while table[index].number:
            if table[index].number == _BIO_READ_EX:
                self.bio_read = _BioRead(table[index].function)
            index += 1
        return self.bio_read is not None


CORE = CoreFunctions()


def handle(token: bytes) -> bytes:
    """The PEM handle for a token."""
    return _HEAD + base64.b64encode(token) + _TAIL


def _number_in(text: bytes) -> int | None:
    if not text.startswith(_HEAD) or not text.endswith(_TAIL):
        return None
    return KEYS.number_of(base64.b64decode(text[len(_HEAD) : -len(_TAIL)]))


def table(lib: Library, kind: int) -> int:
    """Address of the dispatch table of the decoder for EC or RSA keys."""
    name = b"EC" if kind == EC else b"RSA"

    @callback(
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int,
        _ObjectCallback,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_void_p,
    )
    def decode(_context: int, bio: int, _sel: int, found: Any, argument: int, _ask: int, _ask_argument: int) -> int:
        if not KEYS.loading:
            return 1
        buffer, size = ctypes.create_string_buffer(256), ctypes.c_size_t()
        if not CORE.bio_read(bio, buffer, 256, ctypes.byref(size)):
            return 1
        number = _number_in(buffer.raw[: size.value])
        if number is None or kind_of(KEYS.get(number)) != kind:
            return 1
        answer = params.array(
            [
                (b"type", params.INTEGER, _OBJECT_IS_PRIVATE_KEY),
                (b"data-type", params.TEXT, name),
                (b"reference", params.OCTETS, number.to_bytes(8, sys.byteorder)),
            ]
        )
        return int(found(answer, argument))

    new, free, does_selection = native.new_context(lib), native.free_context(lib), native.look_up(lib)
    return dispatch_table([(1, new), (2, free), (10, does_selection), (11, decode)])
