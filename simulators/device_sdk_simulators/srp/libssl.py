"""The system's libssl, by ctypes: documented functions only. cryptography's own OpenSSL, which pyOpenSSL uses, has no SRP."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from device_sdk_simulators.softhsm import SimulatorError

Ptr, Int, Long, Text = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
UsernameCallback = ctypes.CFUNCTYPE(Int, Ptr, ctypes.POINTER(Int), Ptr)
"""int callback(SSL *, int *alert, void *): 0 to go on, FATAL to send the alert."""

FATAL = 2  # SSL_TLSEXT_ERR_ALERT_FATAL
TLS12 = 0x0303
SET_MIN_VERSION, SET_MAX_VERSION, SET_SESSION_CACHE_MODE = 123, 124, 44
# SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
OPTIONS = (1 << 14) | (1 << 30) | (1 << 17) | (1 << 22)

_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "TLS_server_method": (Ptr,),
    "SSL_CTX_new": (Ptr, Ptr),
    "SSL_CTX_free": (None, Ptr),
    "SSL_CTX_ctrl": (Long, Ptr, Int, Long, Ptr),
    "SSL_CTX_set_options": (ctypes.c_uint64, Ptr, ctypes.c_uint64),
    "SSL_CTX_set_cipher_list": (Int, Ptr, Text),
    "SSL_CTX_set_srp_username_callback": (Int, Ptr, UsernameCallback),
    "SSL_new": (Ptr, Ptr),
    "SSL_free": (None, Ptr),
    "SSL_set_fd": (Int, Ptr, Int),
    "SSL_accept": (Int, Ptr),
    "SSL_read": (Int, Ptr, Ptr, Int),
    "SSL_write": (Int, Ptr, Ptr, Int),
    "SSL_shutdown": (Int, Ptr),
    "SSL_get_srp_username": (Text, Ptr),
    "SSL_set_srp_server_param": (Int, Ptr, Ptr, Ptr, Ptr, Ptr, Text),
    "SSL_get_version": (Text, Ptr),
    "SSL_get_current_cipher": (Ptr, Ptr),
    "SSL_CIPHER_get_name": (Text, Ptr),
    "SSL_get_peer_finished": (ctypes.c_size_t, Ptr, Ptr, ctypes.c_size_t),
    "SSL_export_keying_material": (Int, Ptr, Ptr, ctypes.c_size_t, Text, ctypes.c_size_t, Text, ctypes.c_size_t, Int),
    "BN_bin2bn": (Ptr, Text, Int, Ptr),
    "BN_clear_free": (None, Ptr),
    "ERR_clear_error": (None,),
    "ERR_peek_last_error": (ctypes.c_ulong,),
    "ERR_reason_error_string": (Text, ctypes.c_ulong),
}


class SrpUnavailableError(SimulatorError):
    """This machine's OpenSSL has no SRP."""


class LibSsl:
    """The functions above, with their C types: `library.SSL_new(context)`.

    Args:
        name: of the shared library.

    Raises:
        SrpUnavailableError: it cannot be loaded, or was built without SRP.
    """

    def __init__(self, name: str = "libssl.so.3") -> None:
        try:
            library = ctypes.CDLL(name)
            for function, (result, *arguments) in _FUNCTIONS.items():
                entry = library[function]
                entry.restype, entry.argtypes = result, arguments
                setattr(self, function, entry)
        except (OSError, AttributeError) as error:
            raise SrpUnavailableError(f"the system's OpenSSL has no SRP: {error}") from error

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def last_error(self) -> str:
        """OpenSSL's words for what went wrong last in this thread; empty if nothing did."""
        words = self.ERR_reason_error_string(self.ERR_peek_last_error())
        return words.decode() if words else ""


@cache
def libssl() -> LibSsl:
    """The library, loaded once; SrpUnavailableError."""
    return LibSsl()
