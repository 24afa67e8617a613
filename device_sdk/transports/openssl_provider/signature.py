"""OpenSSL's signature operation (provider-signature(7)): the whole message goes to the key object."""

from __future__ import annotations

import ctypes
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from device_sdk.model.keys import PrivateKey
from device_sdk.transports.openssl_provider import params, signed
from device_sdk.transports.openssl_provider.keys import KEYS, KeyData, signature_size
from device_sdk.transports.openssl_provider.libcrypto import SizePointer, forget_errors
from device_sdk.transports.openssl_provider.memory import FREE, allocate, callback, dispatch_table, duplicate

_SALT_IS_DIGEST, _SALT_AUTO, _SALT_MAX = -1, -2, -3
_SALT_WORDS = {"digest": _SALT_IS_DIGEST, "auto": _SALT_AUTO, "max": _SALT_MAX}
_HASHES: list[type[hashes.HashAlgorithm]] = [hashes.SHA256, hashes.SHA384, hashes.SHA512, hashes.SHA224]
_HASH_NUMBERS = {"SHA256": 0, "SHA384": 1, "SHA512": 2, "SHA224": 3}
_SETTABLE = [(b"pad-mode", params.TEXT), (b"saltlen", params.TEXT), (b"mgf1-digest", params.TEXT),
             (b"digest", params.TEXT)]  # fmt: skip


class SignatureContext(ctypes.Structure):
    """The key's number, the hash, and whether PSS is wanted and with which salt."""

    _fields_ = (
        ("key", ctypes.c_uint64),
        ("hash", ctypes.c_int),
        ("pss", ctypes.c_int),
        ("salt", ctypes.c_int),
        ("mgf", ctypes.c_int),
    )


def _hash_number(name: str) -> int:
    return _HASH_NUMBERS[name.upper().replace("SHA2-", "SHA")]


def _set_param(context: SignatureContext, param: params.Param) -> None:
    value = params.read(param)
    if param.key == b"pad-mode":
        if value not in {"pss", 6, "pkcs1", 1}:
            raise ValueError(f"padding {value!r} is not for TLS signatures")
        context.pss = int(value in {"pss", 6})
    elif param.key == b"saltlen":
        context.salt = _SALT_WORDS[value] if value in _SALT_WORDS else int(value)
    elif param.key == b"digest":
        context.hash = _hash_number(str(value))
    elif param.key == b"mgf1-digest":
        context.mgf = _hash_number(str(value)) + 1


def _set_params(context: SignatureContext, given: Any) -> int:
    for param in params.each(given):
        _set_param(context, param)
    return 1


def _signature(key: PrivateKey, context: SignatureContext, message: bytes) -> bytes:
    algorithm = _HASHES[context.hash]()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(algorithm))
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{type(key).__name__} is neither an EC nor an RSA key")
    if not context.pss:
        return key.sign(message, padding.PKCS1v15(), algorithm)
    if context.salt not in {_SALT_IS_DIGEST, algorithm.digest_size}:
        raise ValueError(f"PSS salt of {context.salt} bytes is not for TLS signatures")
    mgf = padding.MGF1(_HASHES[context.mgf - 1]() if context.mgf else algorithm)
    return key.sign(message, padding.PSS(mgf, algorithm.digest_size), algorithm)


def _sign(address: int, out: int, out_size: Any, room: int, message: bytes) -> int:
    context = SignatureContext.from_address(address)
    key = KEYS.get(context.key)
    if not out:
        out_size[0] = signature_size(key.public_key())
        return 1
    try:
        signature = _signature(key, context, message)
    finally:
        forget_errors()  # of the module that signed; nothing of OpenSSL's own is pending here
    if len(signature) > room:
        raise ValueError("the buffer for the signature is too small")
    ctypes.memmove(out, signature, len(signature))
    out_size[0] = len(signature)
    signed.count()
    return 1


def _signing_functions() -> list[tuple[int, int]]:
    @callback(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, params.ParamPointer)
    def init(address: int, hash_name: bytes | None, key: int, given: Any) -> int:
        context = SignatureContext.from_address(address)
        if key:
            context.key = KeyData.from_address(key).number
        if not context.key:
            return 0
        context.hash = _hash_number((hash_name or b"SHA256").decode())
        context.pss, context.salt, context.mgf = 0, _SALT_IS_DIGEST, 0
        return _set_params(context, given)

    @callback(
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, SizePointer, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t
    )
    def sign(address: int, out: int, out_size: Any, room: int, data: int, size: int) -> int:
        return _sign(address, out, out_size, room, ctypes.string_at(data, size) if out else b"")

    # OpenSSL takes a table with these two or refuses it; TLS signs in one call and never uses them.
    @callback(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    def update(_address: int, _data: int, _size: int) -> int:
        raise NotImplementedError("signatures are made in one call")

    @callback(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, SizePointer, ctypes.c_size_t)
    def final(_address: int, _out: int, _out_size: Any, _room: int) -> int:
        raise NotImplementedError("signatures are made in one call")

    return [(8, init), (9, update), (10, final), (11, sign)]


def _context_functions() -> list[tuple[int, int]]:
    @callback(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)
    def new(_provider: int, _properties: bytes | None) -> int:
        return allocate(SignatureContext)

    @callback(ctypes.c_void_p, ctypes.c_void_p)
    def dup(address: int) -> int:
        return duplicate(SignatureContext, address)

    @callback(ctypes.c_int, ctypes.c_void_p, params.ParamPointer)
    def get_params(_address: int, _wanted: Any) -> int:
        return 1

    @callback(ctypes.c_int, ctypes.c_void_p, params.ParamPointer)
    def set_params(address: int, given: Any) -> int:
        return _set_params(SignatureContext.from_address(address), given)

    settable_array = params.description(_SETTABLE)

    @callback(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    def settable(_address: int, _provider: int) -> int:
        return settable_array

    return [(1, new), (16, FREE), (17, dup), (18, get_params), (19, settable), (20, set_params), (21, settable)]


def table() -> int:
    """Address of the dispatch table for signatures of both kinds of keys."""
    return dispatch_table([*_context_functions(), *_signing_functions()])
