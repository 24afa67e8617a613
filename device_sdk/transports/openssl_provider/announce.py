"""Telling a server by whom it can be vouched for: two extensions of the ClientHello that Python has no interface to."""

from __future__ import annotations

import ctypes
import hashlib
import ssl
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import TlsKeyUnavailableError
from device_sdk.transports.openssl_provider.libcrypto import Pointer, forget_errors, library
from device_sdk.transports.openssl_provider.ssl_pointer import context_pointer

_TRUSTED_CA_KEYS = 3
_CLIENT_HELLO, _TLS_1_2_SERVER_HELLO, _IGNORE_ON_RESUMPTION = 0x0080, 0x0100, 0x0040
_CERT_SHA1_HASH = b"\x03"

# int (*)(SSL *, unsigned type, unsigned context, const unsigned char **out, size_t *length, X509 *, size_t, int *, void *)
_Add = ctypes.CFUNCTYPE(
    ctypes.c_int, Pointer, ctypes.c_uint, ctypes.c_uint, ctypes.POINTER(Pointer), ctypes.POINTER(ctypes.c_size_t),
    Pointer, ctypes.c_size_t, Pointer, Pointer,
)  # fmt: skip
_Free = ctypes.CFUNCTYPE(None, Pointer, ctypes.c_uint, ctypes.c_uint, Pointer, Pointer)
_Parse = ctypes.CFUNCTYPE(
    ctypes.c_int, Pointer, ctypes.c_uint, ctypes.c_uint, Pointer, ctypes.c_size_t, Pointer, ctypes.c_size_t, Pointer, Pointer
)  # fmt: skip


def announce_anchors(context: ssl.SSLContext, anchors: Sequence[x509.Certificate]) -> Any:
    """Name trust anchors in the ClientHello: trusted_ca_keys for TLS 1.2, certificate_authorities for TLS 1.3.

    A server with several certificates can then show one that leads to an anchor of ours (RFC 7030 section 4.1.3,
    RFC 6066 section 6, RFC 8446 section 4.2.4; EST-58). Whoever listens on the line learns the anchors' names.

    Args:
        context: a client context.
        anchors: at least one, whose subjects and hashes are sent.

    Returns:
        What must live as long as the context.

    Raises:
        TlsKeyUnavailableError: this Python does not let the context be reached, or its OpenSSL does not take them.
    """
    forget_errors()
    lib, pointer = library(), context_pointer(context)
    kept = _trusted_ca_keys(pointer, _authorities(anchors))
    try:
        read = lib.function("d2i_X509_NAME", Pointer, Pointer, ctypes.POINTER(ctypes.c_char_p), ctypes.c_long)
        set_list = lib.function("SSL_CTX_set0_CA_list", None, Pointer, Pointer)
    except AttributeError as exc:
        raise TlsKeyUnavailableError(f"this Python's OpenSSL cannot name trust anchors ({exc})") from exc
    names = lib.stack_new()
    for anchor in anchors:
        der = anchor.subject.public_bytes()
        lib.stack_push(names, read(None, ctypes.byref(ctypes.c_char_p(der)), len(der)))
    set_list(pointer, names)  # which owns the stack and the names from here on
    return kept


def _authorities(anchors: Sequence[x509.Certificate]) -> bytes:
    """TrustedAuthorities: a 16-bit length, then each anchor as the SHA-1 hash of its certificate (RFC 6066 section 6)."""
    each = (hashlib.sha1(one.public_bytes(Encoding.DER), usedforsecurity=False).digest() for one in anchors)
    content = b"".join(_CERT_SHA1_HASH + digest for digest in each)
    return len(content).to_bytes(2, "big") + content


def _trusted_ca_keys(pointer: int, content: bytes) -> Any:
    buffer = ctypes.create_string_buffer(content, len(content))

    def give(_ssl: int, _kind: int, _where: int, out: Any, length: Any, *_: Any) -> int:
        out[0], length[0] = ctypes.cast(buffer, Pointer), len(content)
        return 1

    add, free, parse = _Add(give), _Free(lambda *_: None), _Parse(lambda *_: 1)
    try:
        extend = library().function(
            "SSL_CTX_add_custom_ext", ctypes.c_int, Pointer, ctypes.c_uint, ctypes.c_uint, _Add, _Free, Pointer, _Parse, Pointer
        )  # fmt: skip
    except AttributeError as exc:
        raise TlsKeyUnavailableError(f"this Python's OpenSSL cannot name trust anchors ({exc})") from exc
    where = _CLIENT_HELLO | _TLS_1_2_SERVER_HELLO | _IGNORE_ON_RESUMPTION
    if extend(pointer, _TRUSTED_CA_KEYS, where, add, free, None, parse, None) != 1:
        forget_errors()
        raise TlsKeyUnavailableError("this Python's OpenSSL does not take the extension trusted_ca_keys")
    return buffer, add, free, parse
