"""The public half of a private key in a token, wherever the token keeps it."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11.constants import Attribute, ObjectClass

from device_sdk.keystores.pkcs11.connection import Worker
from device_sdk.keystores.pkcs11.objects import TokenObject, is_ec, is_rsa, search
from device_sdk.model.keys import PublicKey

_PUBLIC_KEY_INFO = 0x129  # CKA_PUBLIC_KEY_INFO of PKCS#11 v2.40, which python-pkcs11 does not name

_CURVES: dict[bytes, ec.EllipticCurve] = {
    bytes.fromhex("06082a8648ce3d030107"): ec.SECP256R1(),
    bytes.fromhex("06052b81040022"): ec.SECP384R1(),
    bytes.fromhex("06052b81040023"): ec.SECP521R1(),
}
EC_PARAMS = {curve.name: der for der, curve in _CURVES.items()}
"""CKA_EC_PARAMS by the curve's name: the DER object identifier (RFC 5480 section 2.1.1.1)."""


def import_id(public: PublicKey) -> bytes:
    """CKA_ID of a key that was imported here, if its URI gives none; 16 bytes.

    It follows from the key itself, so that a public half whose private one never came is known for what it is.
    """
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(b"device-sdk import " + spki).digest()[:16]


def public_half(worker: Worker, private: TokenObject) -> PublicKey | None:
    """The public key that belongs to a private one, from its own attributes, the public object, or a certificate.

    Returns:
        None if the token does not show it, or it is of a kind the SDK does not handle.
    """
    if (key := read_public(worker, private)) is not None:
        return key
    for candidate in partners(worker, private, ObjectClass.PUBLIC_KEY):
        if (key := read_public(worker, candidate)) is not None and _belongs(worker, private, key):
            return key
    for candidate in partners(worker, private, ObjectClass.CERTIFICATE):
        certificate = certificate_of(worker, candidate)
        certified = certificate.public_key() if certificate is not None else None
        if isinstance(certified, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and _belongs(worker, private, certified):
            return certified
    return None


def partners(worker: Worker, private: TokenObject, object_class: int) -> list[TokenObject]:
    """Objects of a class that go with a key: of the same CKA_ID, else of the same label and without an id."""
    found = search(worker, object_class, key_id=private.key_id) if private.key_id else []
    if found or not private.label:
        return found
    return [other for other in search(worker, object_class, label=private.label) if not other.key_id]


def curve_of(worker: Worker, found: TokenObject) -> ec.EllipticCurve | None:
    """The curve of an EC key object, or None if it is none of the SDK's."""
    return _CURVES.get(worker.cryptoki.attribute(worker.handle, found.handle, Attribute.EC_PARAMS) or b"")


def certificate_of(worker: Worker, found: TokenObject) -> x509.Certificate | None:
    """The certificate in a certificate object, or None if it cannot be read."""
    value = worker.cryptoki.attribute(worker.handle, found.handle, Attribute.VALUE)
    try:
        return x509.load_der_x509_certificate(value) if value else None
    except ValueError:
        return None


def read_public(worker: Worker, found: TokenObject) -> PublicKey | None:
    """The public key in one object's own attributes, or None."""
    wanted = (Attribute.EC_PARAMS, Attribute.EC_POINT, Attribute.MODULUS, Attribute.PUBLIC_EXPONENT)
    try:
        if is_ec(found):
            values = worker.cryptoki.attributes(worker.handle, found.handle, wanted[:2])
            return ec_key(values[Attribute.EC_PARAMS], values[Attribute.EC_POINT])
        if is_rsa(found):
            values = worker.cryptoki.attributes(worker.handle, found.handle, wanted[2:])
            modulus, exponent = (int.from_bytes(values[kind], "big") for kind in wanted[2:])
            return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except (KeyError, ValueError):
        return _from_info(worker, found)
    return None


def _from_info(worker: Worker, found: TokenObject) -> PublicKey | None:
    info = worker.cryptoki.attribute(worker.handle, found.handle, _PUBLIC_KEY_INFO)
    try:
        key = load_der_public_key(info) if info else None
    except ValueError:
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) else None


def ec_key(params: bytes, point: bytes) -> ec.EllipticCurvePublicKey:
    """An EC public key from CKA_EC_PARAMS and CKA_EC_POINT, which is a DER OCTET STRING or, in some modules, bare.

    Raises:
        ValueError: another curve, or not a point on it.
        KeyError: a curve the SDK does not handle.
    """
    curve = _CURVES[params]
    bare = 1 + 2 * ((curve.key_size + 7) // 8)
    if len(point) > bare and point[0] == 0x04:
        point = point[-bare:]
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)


def _belongs(worker: Worker, private: TokenObject, key: PublicKey) -> bool:
    """Whether a public key found by its name can be the private key's other half."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        params = worker.cryptoki.attribute(worker.handle, private.handle, Attribute.EC_PARAMS)
        return is_ec(private) and params in (None, EC_PARAMS.get(key.curve.name))
    return is_rsa(private)
