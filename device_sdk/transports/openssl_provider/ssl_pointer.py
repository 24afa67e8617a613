"""The SSL and SSL_CTX pointers behind Python's TLS objects, for the two things CPython has no interface to.

An object of `_ssl` is {object head; PyObject *Socket; SSL *ssl; PySSLContext *ctx; ...} in CPython 3.6 to 3.15. Only
memory inside the object is read until that layout has been confirmed twice: its third word is the context, and OpenSSL
says of the second that it belongs to that context's SSL_CTX.
"""

from __future__ import annotations

import ctypes
import ssl
import sys
from typing import Any

from device_sdk.errors import TlsError, TlsKeyUnavailableError
from device_sdk.transports.openssl_provider.libcrypto import library

_PURPOSE_ANY = 7
_GET_EXTENDED_MASTER_SECRET = 122
_WORD = ctypes.sizeof(ctypes.c_void_p)


def _word(address: int) -> int:
    return ctypes.c_void_p.from_address(address).value or 0


def _unknown_layout() -> TlsKeyUnavailableError:
    return TlsKeyUnavailableError(f"the inside of TLS objects of Python {sys.version.split()[0]} is not known")


def _ssl_pointer(sock: ssl.SSLSocket | ssl.SSLObject) -> int:
    inner: Any = sock._sslobj  # type: ignore[union-attr]  # not in typeshed
    context, head = sock.context, object.__basicsize__
    if sys.implementation.name != "cpython" or inner is None or type(inner).__basicsize__ < head + 3 * _WORD:
        raise _unknown_layout()
    if _word(id(inner) + head + 2 * _WORD) != id(context):
        raise _unknown_layout()
    pointer = _word(id(inner) + head + _WORD)
    if not pointer or library().context_of(pointer) != _word(id(context) + head):
        raise _unknown_layout()
    return pointer


def export_keying_material(sock: ssl.SSLSocket | ssl.SSLObject, label: bytes, size: int) -> bytes:
    """Keying material exporter with a zero-length context (RFC 5705 section 4, RFC 8446 section 7.5).

    Args:
        sock: after the handshake.
        label: such as b"EXPORTER-Channel-Binding" (RFC 9266 section 2).
        size: bytes wanted.

    Raises:
        TlsKeyUnavailableError: this Python does not let the connection be reached.
        TlsError: OpenSSL refuses.
    """
    out = ctypes.create_string_buffer(size)
    done = library().export(_ssl_pointer(sock), out, size, label, len(label), b"", 0, 1)
    if done != 1:
        library().clear_errors()
        raise TlsError("OpenSSL gives no keying material for this connection")
    return out.raw


def has_extended_master_secret(sock: ssl.SSLSocket | ssl.SSLObject) -> bool:
    """Whether a TLS 1.2 connection has the extended master secret (RFC 7627); TLS 1.3 needs none.

    Raises:
        TlsKeyUnavailableError: this Python does not let the connection be reached.
    """
    return bool(library().control(_ssl_pointer(sock), _GET_EXTENDED_MASTER_SECRET, 0, None) == 1)


def context_pointer(context: ssl.SSLContext) -> int:
    """The SSL_CTX of a client context; it lives as long as the context.

    Raises:
        TlsKeyUnavailableError: this Python does not let the context be reached.
    """
    throw_away = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    return int(library().context_of(_ssl_pointer(throw_away)))


def accept_any_purpose(context: ssl.SSLContext) -> None:
    """Let the peer's certificate have any extended key usage; the caller checks it after the handshake.

    Needed for a server whose certificate holds id-kp-cmcRA and not id-kp-serverAuth (RFC 7030 section 3.6.1).

    Raises:
        TlsKeyUnavailableError: this Python does not let the context be reached.
    """
    pointer = context_pointer(context)
    if library().set_purpose(pointer, _PURPOSE_ANY) != 1:
        library().clear_errors()
        raise TlsKeyUnavailableError("OpenSSL does not take another certificate purpose")
