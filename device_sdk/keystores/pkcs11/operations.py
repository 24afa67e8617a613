"""What private keys in a token are asked to do; one function a mechanism, python-pkcs11's key objects in, bytes out."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pkcs11.constants import Attribute
from pkcs11.mechanisms import KDF, MGF, KeyType, Mechanism

from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError, calling
from device_sdk.keystores.rsa_padding import pkcs1_encode

_HASHES = {
    "sha1": (Mechanism.SHA_1, MGF.SHA1),
    "sha224": (Mechanism.SHA224, MGF.SHA224),
    "sha256": (Mechanism.SHA256, MGF.SHA256),
    "sha384": (Mechanism.SHA384, MGF.SHA384),
    "sha512": (Mechanism.SHA512, MGF.SHA512),
}


def sign_ecdsa(key: Any, digest: bytes, curve: ec.EllipticCurve, pin: str | None = None) -> tuple[int, int]:
    """ECDSA (CKM_ECDSA) over a digest: (r, s)."""
    size = (curve.key_size + 7) // 8
    # Longer digests count with their leftmost bits only (FIPS 186-5 section 6.4.1), and some tokens refuse the others.
    signature = _sign(key, digest[:size], Mechanism.ECDSA, None, pin)
    half = len(signature) // 2
    if len(signature) % 2 or not half:
        raise CkError(None, "sign CKM_ECDSA", f"the signature is {len(signature)} bytes")
    return int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")


def sign_pkcs1(key: Any, digest: bytes, algorithm: hashes.HashAlgorithm, pin: str | None = None) -> bytes:
    """RSASSA-PKCS1-v1_5 (CKM_RSA_PKCS over our own DigestInfo, which every token knows)."""
    if algorithm.name not in _HASHES:
        raise CkError(codes.MECHANISM_PARAM_INVALID, f"sign CKM_RSA_PKCS with {algorithm.name}")
    # CKM_RSA_PKCS pads by itself: what it takes is the DigestInfo at the end of the block.
    _, _, info = pkcs1_encode(digest, algorithm, 2 * len(digest) + 32).partition(b"\xff\0")
    return _sign(key, info, Mechanism.RSA_PKCS, None, pin)


def sign_pss(key: Any, digest: bytes, hash_names: tuple[str, str], salt_bytes: int, pin: str | None = None) -> bytes:
    """RSASSA-PSS (CKM_RSA_PKCS_PSS) over a digest; `hash_names` are those of the digest and of MGF1."""
    (mechanism, _), (_, mgf) = _parameters("sign CKM_RSA_PKCS_PSS", hash_names)
    return _sign(key, digest, Mechanism.RSA_PKCS_PSS, (mechanism, mgf, salt_bytes), pin)


def sign_anything(key: Any, key_type: int | None) -> None:
    """One signature whose value does not matter, to see whether the key does anything at all."""
    mechanism = Mechanism.ECDSA if key_type == int(KeyType.EC) else Mechanism.RSA_PKCS
    _sign(key, bytes(32), mechanism, None, None)


def sign_raw(key: Any, block: bytes, pin: str | None = None) -> bytes:
    """RSA without padding (CKM_RSA_X_509) over a block as long as the modulus."""
    return _sign(key, block, Mechanism.RSA_X_509, None, pin)


def decrypt_pkcs1(key: Any, ciphertext: bytes, pin: str | None = None) -> bytes:
    """RSAES-PKCS1-v1_5 (CKM_RSA_PKCS)."""
    return _decrypt(key, ciphertext, Mechanism.RSA_PKCS, None, pin)


def decrypt_oaep(key: Any, ciphertext: bytes, hash_names: tuple[str, str], pin: str | None = None) -> bytes:
    """RSAES-OAEP (CKM_RSA_PKCS_OAEP) with an empty label; `hash_names` are those of the label and of MGF1."""
    (mechanism, _), (_, mgf) = _parameters("decrypt CKM_RSA_PKCS_OAEP", hash_names)
    return _decrypt(key, ciphertext, Mechanism.RSA_PKCS_OAEP, (mechanism, mgf, None), pin)


def decrypt_raw(key: Any, ciphertext: bytes, pin: str | None = None) -> bytes:
    """RSA without padding (CKM_RSA_X_509), as long as the ciphertext."""
    return _decrypt(key, ciphertext, Mechanism.RSA_X_509, None, pin).rjust(len(ciphertext), b"\0")


def derive(key: Any, peer: ec.EllipticCurvePublicKey) -> bytes:
    """ECDH (CKM_ECDH1_DERIVE, no KDF): the x coordinate, as long as the field."""
    size = (peer.curve.key_size + 7) // 8
    point = peer.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    # The result is a secret for the caller, so it may be read; it lives in this session only.
    template = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
    if not hasattr(key, "derive_key"):
        raise CkError(codes.KEY_FUNCTION_NOT_PERMITTED, "derive CKM_ECDH1_DERIVE")
    with calling("derive CKM_ECDH1_DERIVE"):
        secret = key.derive_key(
            KeyType.GENERIC_SECRET,
            8 * size,
            mechanism=Mechanism.ECDH1_DERIVE,
            mechanism_param=(KDF.NULL, None, point),
            template=template,
        )
        try:
            value = bytes(secret[Attribute.VALUE])
        finally:
            secret.destroy()
    if len(value) > size:
        raise CkError(None, "derive CKM_ECDH1_DERIVE", f"the secret is {len(value)} bytes")
    return value.rjust(size, b"\0")


def _parameters(operation: str, names: tuple[str, str]) -> tuple[tuple[Mechanism, MGF], tuple[Mechanism, MGF]]:
    try:
        return _HASHES[names[0]], _HASHES[names[1]]
    except KeyError as error:
        raise CkError(codes.MECHANISM_PARAM_INVALID, f"{operation} with {'/'.join(names)}") from error


def _sign(key: Any, data: bytes, mechanism: Mechanism, parameter: object, pin: str | None) -> bytes:
    operation = f"sign CKM_{mechanism.name}"
    if not hasattr(key, "sign"):
        raise CkError(codes.KEY_FUNCTION_NOT_PERMITTED, operation)
    with calling(operation):
        return bytes(key.sign(data, mechanism=mechanism, mechanism_param=parameter, pin=pin))


def _decrypt(key: Any, data: bytes, mechanism: Mechanism, parameter: object, pin: str | None) -> bytes:
    operation = f"decrypt CKM_{mechanism.name}"
    if not hasattr(key, "decrypt"):
        raise CkError(codes.KEY_FUNCTION_NOT_PERMITTED, operation)
    with calling(operation):
        return bytes(key.decrypt(data, mechanism=mechanism, mechanism_param=parameter, pin=pin))
