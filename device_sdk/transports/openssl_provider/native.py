"""Parts of the provider that run without the interpreter.

OpenSSL asks every provider for its algorithms, and every decoder whether it may be of use, whenever anybody in the
process reads a public key: in the middle of other threads' handshakes, and even while the process exits. Python must not
be needed for that. These questions are answered by a table look-up, and OpenSSL has a function for it: `OPENSSL_sk_value()`
gives the element at an index of a stack, or NULL. The provider's context is such a stack. (The functions are called with
one argument more than they take, which every C calling convention in use allows.)
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

from device_sdk.transports.openssl_provider.libcrypto import Library

_EVERYTHING = 0x87  # OSSL_KEYMGMT_SELECT_ALL, the largest index
_PRIVATE = 0x01
_FIRST_SELECTION = 0x80  # any real selection is larger, any number of an operation smaller (core_dispatch.h)


def provider_context(lib: Library, operations: Mapping[int, int]) -> int:
    """A stack that holds what the provider's questions have as answers; never released.

    Index by number of an operation: the algorithms (query_operation). Index by selection: 1 if private keys are wanted
    (does_selection); zero stands for any selection.
    """
    stack = lib.stack_new()
    for index in range(_EVERYTHING + 1):
        wants_private = index == 0 or bool(index >= _FIRST_SELECTION and index & _PRIVATE)
        lib.stack_push(stack, operations.get(index, int(wants_private)))
    return int(stack)


def look_up(lib: Library) -> int:
    """Address of f(stack, index): both query_operation and does_selection."""
    return _address(lib.stack_value)


def new_context(lib: Library) -> int:
    """Address of f(): a context for operations that need none."""
    return _address(lib.stack_new)


def free_context(lib: Library) -> int:
    """Address of the counterpart of `new_context`."""
    return _address(lib.stack_free)


def _address(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]  # a function of ctypes
