"""SRP for an `ssl.SSLContext`: four functions of the OpenSSL behind it that Python has no interface to."""

from __future__ import annotations

import ctypes
import ssl
from typing import Any

from device_sdk.errors import SrpUnavailableError, TlsKeyUnavailableError
from device_sdk.transports.openssl_provider import context_pointer
from device_sdk.transports.openssl_provider.libcrypto import Pointer, forget_errors, library
from device_sdk.transports.srp.salts import MessageCallback, Salts

MIN_GROUP_BITS = 2048
"""Smaller groups of RFC 5054 appendix A (1024 and 1536 bits) are within reach of discrete logarithms."""

SUITES = ("SRP-AES-256-CBC-SHA", "SRP-AES-128-CBC-SHA")
"""The suites without any certificate. Those with RSA or DSS mix certificates in, and RFC 7030 section 6 forbids _DES_."""

_PasswordCallback = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
_HINT = (
    "use a Python whose ssl module is linked to an OpenSSL with SRP, as Debian's is; or enrol with HTTP authentication"
)


def use_srp(context: ssl.SSLContext, user: bytes, password: bytes) -> Any:
    """Make a client context speak the certificate-less suites of SRP, and no others.

    OpenSSL itself accepts groups of RFC 5054 appendix A only (sections 2.5.3 and 3.2), here those of 2048 bits and more,
    and answers others with insufficient_security; it refuses B % N = 0. It gets the password in memory of its own when
    the handshake needs it, and wipes that memory after its use. Where it would compute with another salt than the server's,
    it does not get the password, and says CALLBACK_FAILED.

    Args:
        context: a client context whose highest version is TLS 1.2.
        user: 1 to 255 bytes, prepared.
        password: prepared; without zero bytes.

    Returns:
        What must live as long as the context.

    Raises:
        SrpUnavailableError: this Python's OpenSSL has no SRP, or cannot be reached.
    """
    forget_errors()
    try:
        lib = library()
        pointer = context_pointer(context)
        duplicate = lib.function("CRYPTO_strdup", Pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
        set_user = lib.function("SSL_CTX_set_srp_username", ctypes.c_int, Pointer, ctypes.c_char_p)
        set_strength = lib.function("SSL_CTX_set_srp_strength", ctypes.c_int, Pointer, ctypes.c_int)
        set_callback = lib.function("SSL_CTX_set_srp_client_pwd_callback", ctypes.c_int, Pointer, _PasswordCallback)
        set_watch = lib.function("SSL_CTX_set_msg_callback", None, Pointer, MessageCallback)
    except (AttributeError, TlsKeyUnavailableError) as exc:
        raise SrpUnavailableError(f"certificate-less TLS (SRP) is not to be had here: {exc}", hint=_HINT) from exc
    salts = Salts()
    set_watch(pointer, salts.callback)

    def give(connection: int | None, _argument: int | None) -> int | None:
        return None if salts.spoiled(connection) else duplicate(password, b"", 0)

    callback = _PasswordCallback(give)
    done = set_user(pointer, user) == 1 and set_strength(pointer, MIN_GROUP_BITS) == 1
    try:
        if not done or set_callback(pointer, callback) != 1:
            raise SrpUnavailableError("this Python's OpenSSL does not take a user name for SRP", hint=_HINT)
        context.set_ciphers(":".join(SUITES) + ":@SECLEVEL=2")
    except ssl.SSLError as exc:
        raise SrpUnavailableError(
            f"this Python's OpenSSL has no certificate-less suites ({exc.reason or exc})", hint=_HINT
        ) from exc
    finally:
        forget_errors()
    return callback, salts
