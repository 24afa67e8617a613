"""A key that was made elsewhere, as the attributes of objects in a token (PKCS#11 v2.40 mechanisms, 2.1 and 2.3)."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11.constants import Attribute, ObjectClass
from pkcs11.mechanisms import KeyType as CkKeyType

from device_sdk.keystores.pkcs11.objects import FALSE, TRUE, number
from device_sdk.keystores.pkcs11.public import EC_PARAMS
from device_sdk.model.keys import KeyType, PrivateKey, PublicKey

Template = dict[int, bytes | bytearray]
"""Attributes by their numbers."""


def public_attributes(public: PublicKey) -> Template:
    """The public half, whole."""
    template: Template = {Attribute.CLASS: number(ObjectClass.PUBLIC_KEY), Attribute.PRIVATE: FALSE}
    template |= {Attribute.VERIFY: TRUE}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return template | {
            Attribute.KEY_TYPE: number(CkKeyType.EC),
            Attribute.EC_PARAMS: EC_PARAMS[public.curve.name],
            Attribute.EC_POINT: b"\x04" + _der_length(len(point)) + point,
        }
    numbers = public.public_numbers()
    return template | {
        Attribute.KEY_TYPE: number(CkKeyType.RSA),
        Attribute.ENCRYPT: TRUE,
        Attribute.MODULUS: bytes(_big_endian(numbers.n)),
        Attribute.PUBLIC_EXPONENT: bytes(_big_endian(numbers.e)),
    }


def private_attributes(key_type: KeyType) -> Template:
    """The private half without its value: it signs, and decrypts (RSA) or agrees (EC)."""
    uses = Attribute.DERIVE if key_type.is_ec else Attribute.DECRYPT
    return {
        Attribute.CLASS: number(ObjectClass.PRIVATE_KEY),
        Attribute.KEY_TYPE: number(CkKeyType.EC if key_type.is_ec else CkKeyType.RSA),
        Attribute.PRIVATE: TRUE,
        Attribute.SENSITIVE: TRUE,
        Attribute.EXTRACTABLE: FALSE,
        Attribute.SIGN: TRUE,
        uses: TRUE,
    }


def private_values(key: PrivateKey) -> Template:
    """The value, in bytearrays where it is secret: for one use within `wiping`."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        value = bytearray(key.private_numbers().private_value.to_bytes(size, "big"))
        return {Attribute.EC_PARAMS: EC_PARAMS[key.curve.name], Attribute.VALUE: value}
    return dict(_rsa_values(key))


def _rsa_values(key: rsa.RSAPrivateKey) -> Iterator[tuple[int, bytearray]]:
    numbers = key.private_numbers()
    yield Attribute.MODULUS, _big_endian(numbers.public_numbers.n)
    yield Attribute.PUBLIC_EXPONENT, _big_endian(numbers.public_numbers.e)
    yield Attribute.PRIVATE_EXPONENT, _big_endian(numbers.d)
    yield Attribute.PRIME_1, _big_endian(numbers.p)
    yield Attribute.PRIME_2, _big_endian(numbers.q)
    yield Attribute.EXPONENT_1, _big_endian(numbers.dmp1)
    yield Attribute.EXPONENT_2, _big_endian(numbers.dmq1)
    yield Attribute.COEFFICIENT, _big_endian(numbers.iqmp)


def _big_endian(value: int) -> bytearray:
    return bytearray(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _der_length(size: int) -> bytes:
    return bytes([size]) if size < 0x80 else bytes([0x81, size])
