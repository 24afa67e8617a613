"""A private key that comes from outside, as PKCS#8 (RFC 5958): read strictly."""

from __future__ import annotations

from typing import ClassVar

from asn1crypto import core
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from device_sdk.errors import KeyMaterialError, MechanismUnsupportedError, WireError
from device_sdk.model.keys import KeyType, PrivateKey, PublicKey
from device_sdk.model.secret import Secret
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS, require_modest

MAX_BYTES = 16 * 1024
"""The largest structure that is read; RSA-4096 needs 2.4 KiB, and attributes may come with it."""


class _Attributes(core.SetOf):  # type: ignore[misc]  # asn1crypto is untyped
    _child_spec = core.Any


class _OneAsymmetricKey(core.Sequence):  # type: ignore[misc]  # asn1crypto is untyped
    _fields: ClassVar = [
        ("version", core.Integer),
        ("algorithm", core.Any),
        ("private_key", core.OctetString),
        ("attributes", _Attributes, {"implicit": 0, "optional": True}),
        ("public_key", core.OctetBitString, {"implicit": 1, "optional": True}),
    ]


def load_pkcs8(pkcs8: Secret, where: str) -> tuple[PrivateKey, KeyType]:
    """The key in a DER PrivateKeyInfo or OneAsymmetricKey.

    Args:
        pkcs8: the structure, not encrypted.
        where: redacted URI of the place it is meant for, for messages.

    Raises:
        KeyMaterialError: anything else, or halves that do not fit. No message has a byte of the key in it.
        MechanismUnsupportedError: a curve, size or kind of key that the SDK does not handle.
    """
    der, given_public = _version_one(pkcs8.reveal(), where)
    try:
        key = load_der_private_key(der, None)
    except UnsupportedAlgorithm:
        raise _unsupported("a curve or an algorithm that is not supported", where) from None
    except (ValueError, TypeError):
        raise _bad("its parts do not fit each other, or are damaged", where) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise _unsupported("neither an elliptic curve nor an RSA key", where)
    public = key.public_key()
    if given_public is not None and given_public != _bare(public):
        raise _bad("its public key is another one's", where)
    try:
        return key, KeyType.of(public)
    except ValueError:
        kind = public.curve.name if isinstance(public, ec.EllipticCurvePublicKey) else f"RSA {public.key_size}"
        raise _unsupported(f"a key of type {kind}", where) from None


def to_pkcs8(key: PrivateKey) -> bytearray:
    """DER PrivateKeyInfo, version 0, for one use within `wiping`."""
    return bytearray(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def _version_one(data: bytes, where: str) -> tuple[bytes, bytes | None]:
    """The structure as version 0 (RFC 5208), which is all that OpenSSL's readers know, and the public key it came with."""
    if len(data) > MAX_BYTES:
        raise _bad(f"larger than {MAX_BYTES} bytes", where)
    try:
        require_modest(data, "PKCS#8")
        structure = _OneAsymmetricKey.load(data, strict=True)
        version, public = structure["version"].native, structure["public_key"].native
        content = {"version": 0, "algorithm": structure["algorithm"], "private_key": structure["private_key"]}
        # publicKey comes with version 1 only (RFC 5958 section 2)
        fits = version in (0, 1) and (version == 1 or public is None)
        der = _OneAsymmetricKey(content).dump() if version == 1 else data
    except (WireError, *ASN1CRYPTO_ERRORS):
        fits, der, public = False, b"", None
    if not fits:
        raise _bad("not a DER PrivateKeyInfo", where)
    return der, public


def _bare(public: PublicKey) -> bytes:
    """What a SubjectPublicKeyInfo has in its bit string."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return public.public_bytes(Encoding.DER, PublicFormat.PKCS1)


def _bad(why: str, where: str) -> KeyMaterialError:
    return KeyMaterialError(
        f"the private key to import to {where} cannot be used: {why}",
        hint="a DER PKCS#8 structure is expected, without encryption",
        uri=where,
    )


def _unsupported(what: str, where: str) -> MechanismUnsupportedError:
    return MechanismUnsupportedError(
        f"the private key to import to {where} is {what}",
        hint="P-256, P-384, P-521 and RSA 2048, 3072, 4096 are supported",
        uri=where,
        mechanism=what,
    )
