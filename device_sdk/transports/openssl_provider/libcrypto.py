"""The libcrypto and libssl that this Python's ssl module uses, and the few functions of theirs that are needed.

They are reached through the file of the `_ssl` extension: dlsym() on its handle also searches the libraries it is linked
to. Looking for a library by name, or in the whole process, finds other copies (cryptography's wheel carries one), and a
provider in those is of no use.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from device_sdk.errors import TlsKeyUnavailableError

_HINT = (
    "use a Python whose ssl module is linked dynamically to OpenSSL 3 or later, such as the Python of Debian; "
    "statically linked builds do not let keys of tokens and TPMs in"
)

Pointer = ctypes.c_void_p
SizePointer = ctypes.POINTER(ctypes.c_size_t)


class Library:
    """Typed access to one pair of libcrypto and libssl.

    Args:
        path: file of an extension or library that is linked to them.

    Raises:
        TlsKeyUnavailableError: the file cannot be opened or does not lead to OpenSSL 3.
    """

    def __init__(self, path: str) -> None:
        try:
            self._handle = ctypes.CDLL(path)
            self.add_builtin = self.function(
                "OSSL_PROVIDER_add_builtin", ctypes.c_int, Pointer, ctypes.c_char_p, Pointer
            )
            self.try_load = self.function("OSSL_PROVIDER_try_load", Pointer, Pointer, ctypes.c_char_p, ctypes.c_int)
            self.clear_errors = self.function("ERR_clear_error", None)
            self.fetch_keymgmt = self.function("EVP_KEYMGMT_fetch", Pointer, Pointer, ctypes.c_char_p, ctypes.c_char_p)
            self.free_keymgmt = self.function("EVP_KEYMGMT_free", None, Pointer)
            self.fetch_signature = self.function(
                "EVP_SIGNATURE_fetch", Pointer, Pointer, ctypes.c_char_p, ctypes.c_char_p
            )
            self.free_signature = self.function("EVP_SIGNATURE_free", None, Pointer)
            self.stack_new = self.function("OPENSSL_sk_new_null", Pointer)
            self.stack_push = self.function("OPENSSL_sk_push", ctypes.c_int, Pointer, Pointer)
            self.stack_value = self.function("OPENSSL_sk_value", Pointer, Pointer, ctypes.c_int)
            self.stack_free = self.function("OPENSSL_sk_free", None, Pointer)
            self.context_of = self.function("SSL_get_SSL_CTX", Pointer, Pointer)
            self.set_purpose = self.function("SSL_CTX_set_purpose", ctypes.c_int, Pointer, ctypes.c_int)
            self.control = self.function("SSL_ctrl", ctypes.c_long, Pointer, ctypes.c_int, ctypes.c_long, Pointer)
            self.export = self.function(
                "SSL_export_keying_material",
                ctypes.c_int, Pointer, Pointer, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
            )  # fmt: skip
        except (AttributeError, OSError) as exc:
            raise TlsKeyUnavailableError(
                f"the OpenSSL behind this Python's ssl module cannot be reached ({exc})", hint=_HINT
            ) from exc

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        """One more function of theirs, with its C types; AttributeError if this OpenSSL does not have it."""
        function = self._handle[name]
        function.restype, function.argtypes = result, list(arguments)
        return function


@cache
def library() -> Library:
    """The libraries behind `_ssl`; looked up once.

    Raises:
        TlsKeyUnavailableError: they cannot be reached from Python.
    """
    import _ssl

    path = getattr(_ssl, "__file__", None)
    if path is None:
        raise TlsKeyUnavailableError("the ssl module is built into this Python's executable", hint=_HINT)
    return Library(path)


def forget_errors() -> None:
    """Empty this thread's OpenSSL error queue.

    PKCS#11 modules that are linked to the same libcrypto leave errors behind (SoftHSM: NO_SUCH_ENGINE), which the ssl
    module would take for errors of its own next call. Where OpenSSL cannot be reached nothing is done.
    """
    with contextlib.suppress(TlsKeyUnavailableError):
        library().clear_errors()
