"""OpenSSL's key management (provider-keymgmt(7)) for keys that are objects in Python.

There is no export: with it libcrypto would put a public copy into the default provider and sign with that ("missing
private key"). Import takes public keys only, so that OpenSSL can compare a certificate's key with ours.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.transports.openssl_provider import params
from device_sdk.transports.openssl_provider.keys import (
    EC,
    GROUPS,
    KEYS,
    RSA,
    KeyData,
    curve_number,
    describe,
    security_bits,
    signature_size,
)
from device_sdk.transports.openssl_provider.memory import FREE, allocate, callback, dispatch_table, duplicate, pin

_PRIVATE, _PUBLIC = 1, 2
_SIGNATURE_OPERATION = 12
_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "prime256v1": ec.SECP256R1, "p-256": ec.SECP256R1, "secp256r1": ec.SECP256R1, "secp384r1": ec.SECP384R1,
    "p-384": ec.SECP384R1, "secp521r1": ec.SECP521R1, "p-521": ec.SECP521R1,
}  # fmt: skip
_VALUES: dict[bytes, Callable[[Any], params.Value]] = {
    b"bits": lambda public: public.key_size,
    b"security-bits": security_bits,
    b"max-size": signature_size,
    b"default-digest": lambda _: b"SHA256",
}


def _point(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


_KIND_VALUES: dict[int, dict[bytes, Callable[[Any], params.Value]]] = {
    EC: {
        b"group": lambda public: GROUPS[public.curve.name],
        b"point-format": lambda _: b"uncompressed",
        b"pub": _point,
        b"encoded-pub-key": _point,
    },
    RSA: {b"n": lambda public: public.public_numbers().n, b"e": lambda public: public.public_numbers().e},
}
_IMPORTABLE = {
    EC: [(b"group", params.TEXT), (b"pub", params.OCTETS)],
    RSA: [(b"n", params.UNSIGNED), (b"e", params.UNSIGNED)],
}
_GETTABLE = [
    (b"bits", params.INTEGER), (b"security-bits", params.INTEGER), (b"max-size", params.INTEGER),
    (b"group", params.TEXT), (b"default-digest", params.TEXT), (b"point-format", params.TEXT),
    (b"pub", params.OCTETS), (b"encoded-pub-key", params.OCTETS), (b"n", params.UNSIGNED), (b"e", params.UNSIGNED),
]  # fmt: skip


def _import_public(data: KeyData, given: dict[bytes, Any]) -> None:
    if data.kind == EC:
        curve = _CURVES[given[b"group"].lower()]()
        data.curve = curve_number(curve)
        if b"pub" in given:
            describe(data, ec.EllipticCurvePublicKey.from_encoded_point(curve, given[b"pub"]))
    elif b"n" in given:
        describe(data, rsa.RSAPublicNumbers(given[b"e"], given[b"n"]).public_key())


def _object_functions(kind: int) -> list[tuple[int, int]]:
    @callback(ctypes.c_void_p, ctypes.c_void_p)
    def new(_provider: int) -> int:
        address = allocate(KeyData)
        KeyData.from_address(address).kind = kind
        return address

    @callback(ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t)
    def load(reference: Any, _size: int) -> int:
        public_key = KEYS.get(reference[0]).public_key()
        address = allocate(KeyData)
        data = KeyData.from_address(address)
        data.kind, data.number = kind, reference[0]
        describe(data, public_key)
        return address

    @callback(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    def dup(address: int, _selection: int) -> int:
        return duplicate(KeyData, address)

    return [(1, new), (8, load), (10, FREE), (44, dup)]


def _question_functions(kind: int) -> list[tuple[int, int]]:
    @callback(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    def has(address: int, selection: int) -> int:
        return int(not selection & _PRIVATE or KeyData.from_address(address).number != 0)

    @callback(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    def match(first: int, second: int, selection: int) -> int:
        one, two = KeyData.from_address(first), KeyData.from_address(second)
        if selection & (_PUBLIC | _PRIVATE):
            return int(bytes(one.public) == bytes(two.public))
        return int(one.curve == two.curve)

    @callback(ctypes.c_int, ctypes.c_void_p, params.ParamPointer)
    def get_params(address: int, wanted: Any) -> int:
        number = KeyData.from_address(address).number
        if not number:
            return 0
        public_key = KEYS.get(number).public_key()
        for param in params.each(wanted):
            value = _VALUES.get(param.key) or _KIND_VALUES[kind].get(param.key)
            if value:
                params.write(param, value(public_key))
        return 1

    gettable_array = params.description(_GETTABLE)

    @callback(ctypes.c_void_p, ctypes.c_void_p)
    def gettable(_provider: int) -> int:
        return gettable_array

    return [(11, get_params), (12, gettable), (21, has), (23, match)]


def _import_functions(kind: int) -> list[tuple[int, int]]:
    @callback(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, params.ParamPointer)
    def import_(address: int, selection: int, given: Any) -> int:
        if selection & _PRIVATE:
            return 0
        _import_public(KeyData.from_address(address), {p.key: params.read(p) for p in params.each(given)})
        return 1

    importable_array = params.description(_IMPORTABLE[kind])

    @callback(ctypes.c_void_p, ctypes.c_int)
    def importable(_selection: int) -> int:
        return importable_array

    operation_name = pin(ctypes.create_string_buffer(b"ECDSA" if kind == EC else b"RSA"))

    @callback(ctypes.c_void_p, ctypes.c_int)
    def query_name(operation: int) -> int:
        return ctypes.addressof(operation_name) if operation == _SIGNATURE_OPERATION else 0

    return [(20, query_name), (40, import_), (41, importable)]


def table(kind: int) -> int:
    """Address of the dispatch table for EC or RSA keys."""
    return dispatch_table([*_object_functions(kind), *_question_functions(kind), *_import_functions(kind)])
