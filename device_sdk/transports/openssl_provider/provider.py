"""Register the provider in libcrypto, once, so that nobody else's keys are affected."""

from __future__ import annotations

import ctypes
from typing import Any

from device_sdk.errors import TlsKeyUnavailableError
from device_sdk.transports.openssl_provider import decoder, keymgmt, native, signature
from device_sdk.transports.openssl_provider.keys import EC, RSA
from device_sdk.transports.openssl_provider.libcrypto import Library
from device_sdk.transports.openssl_provider.memory import Dispatch, algorithm_table, callback, dispatch_table

_NAME = b"devicesdk"
_OURS = b"devicesdk.key=yes"
_PROPERTIES = b"provider=devicesdk," + _OURS
_PEM_PROPERTIES = _PROPERTIES + b",input=pem"
_EC_NAMES = b"EC:id-ecPublicKey:1.2.840.10045.2.1"
_RSA_NAMES = b"RSA:rsaEncryption:1.2.840.113549.1.1.1"
_KEYMGMT, _SIGNATURE, _DECODER = 10, 12, 21
_QUERY_OPERATION = 1027


def _operations(lib: Library) -> dict[int, int]:
    signatures = signature.table()
    return {
        _KEYMGMT: algorithm_table(
            [(_EC_NAMES, _PROPERTIES, keymgmt.table(EC)), (_RSA_NAMES, _PROPERTIES, keymgmt.table(RSA))]
        ),
        _SIGNATURE: algorithm_table([(b"ECDSA", _PROPERTIES, signatures), (_RSA_NAMES, _PROPERTIES, signatures)]),
        _DECODER: algorithm_table(
            [
                (_EC_NAMES, _PEM_PROPERTIES, decoder.table(lib, EC)),
                (_RSA_NAMES, _PEM_PROPERTIES, decoder.table(lib, RSA)),
            ]
        ),
    }


def _entry_point(lib: Library) -> int:
    answers = native.provider_context(lib, _operations(lib))
    functions = dispatch_table([(_QUERY_OPERATION, native.look_up(lib))])

    @callback(
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.POINTER(Dispatch),
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_void_p),
    )
    def init(_core: int, offered: Any, out: Any, context: Any) -> int:
        out[0], context[0] = functions, answers
        return int(decoder.CORE.take(offered))

    return init


def _fetch_all(lib: Library, properties: bytes | None) -> bool:
    wanted = [
        (lib.fetch_keymgmt, lib.free_keymgmt, b"EC"),
        (lib.fetch_keymgmt, lib.free_keymgmt, b"RSA"),
        (lib.fetch_signature, lib.free_signature, b"ECDSA"),
        (lib.fetch_signature, lib.free_signature, b"RSA"),
    ]
    complete = True
    for fetch, free, name in wanted:
        method = fetch(None, name, properties)
        if method:
            free(method)
        complete = complete and bool(method)
    return complete


def install(lib: Library) -> None:
    """Add the provider to libcrypto. Call it once per process.

    Raises:
        TlsKeyUnavailableError: libcrypto refuses it, or its configuration keeps its algorithms out of use.
    """
    # Without a property query libcrypto takes the implementation it has seen first: that must stay the default one.
    _fetch_all(lib, None)
    provider = None
    if lib.add_builtin(None, _NAME, _entry_point(lib)):
        # It is never unloaded: other threads may be in the middle of a handshake, even at exit.
        # try_load, with 1: the default provider keeps being loaded when nobody has named one
        provider = lib.try_load(None, _NAME, 1)
    if not provider:
        lib.clear_errors()
        raise TlsKeyUnavailableError("OpenSSL did not accept the provider for hardware keys")
    if not _fetch_all(lib, _OURS):
        lib.clear_errors()
        raise TlsKeyUnavailableError(
            "OpenSSL's configuration keeps hardware keys out of TLS",
            hint="look for default_properties (such as fips=yes) in openssl.cnf or the file OPENSSL_CONF names",
        )
    lib.clear_errors()
