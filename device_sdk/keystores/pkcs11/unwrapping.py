"""C_UnwrapKey for tokens that take no private key in the clear: only a key in the token can open what is handed over.

RSA pair in the token -> AES key, encrypted to it -> private key, wrapped by that. All but the last live as long as the
session, and not longer than this import.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.exceptions import PKCS11Error
from pkcs11.mechanisms import MGF, Mechanism
from pkcs11.mechanisms import KeyType as CkKeyType

from device_sdk.keystores.pkcs8 import to_pkcs8
from device_sdk.keystores.pkcs11 import codes
from device_sdk.keystores.pkcs11.codes import CkError, calling
from device_sdk.keystores.pkcs11.connection import Worker
from device_sdk.keystores.pkcs11.objects import FALSE, TRUE, number
from device_sdk.model.keys import PrivateKey
from device_sdk.model.wiping import wiping

_TRANSPORT_BITS = 2048
_AES_BYTES = 32
_CKZ_DATA_SPECIFIED = 1
# SoftHSM does OAEP with SHA-1 only; what OAEP needs of its hash SHA-1 still has (RFC 8017 section 7.1)
_OAEP_HASHES: tuple[tuple[hashes.HashAlgorithm, int, int], ...] = (
    (hashes.SHA256(), Mechanism.SHA256, MGF.SHA256),
    (hashes.SHA1(), Mechanism.SHA_1, MGF.SHA1),  # noqa: S303
)
PADDED_WRAPS = (0x210B, int(Mechanism.AES_KEY_WRAP_PAD))
"""RFC 5649 by both of its names: PKCS#11 v3.0 has a new one because v2.40 left the padding open."""


Template = Mapping[int, bytes | bytearray]


def unwrap_private_key(worker: Worker, key: PrivateKey, templates: Sequence[Template]) -> None:
    """Put a private key on the token by C_UnwrapKey.

    Args:
        worker: a writable session.
        key: the key; it is wrapped as PKCS#8 (PKCS#11 v2.40, 2.14.3).
        templates: its attributes, without its value; the first set that the module takes is used.

    Raises:
        CkError: a step that the token does not take.
    """
    with calling("generate a transport key"):
        public, private = worker.session.generate_keypair(
            CkKeyType.RSA, _TRANSPORT_BITS, store=False, capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP
        )
    made = [private.handle, public.handle]
    try:
        kek = bytearray(secrets.token_bytes(_AES_BYTES))
        der = to_pkcs8(key)
        with wiping(kek, der):
            made.append(_hand_over(worker, private.handle, _public_key(public), kek))
            wrapped = aes_key_wrap_with_padding(bytes(kek), bytes(der))
        _unwrap(worker, made[-1], wrapped, templates)
    finally:
        for handle in made:
            with suppress(CkError):
                worker.cryptoki.destroy(worker.handle, handle)


def _public_key(public: Any) -> rsa.RSAPublicKey:
    try:
        values = (public[Attribute.PUBLIC_EXPONENT], public[Attribute.MODULUS])
    except PKCS11Error as error:
        raise CkError(codes.code_of(error), "read the transport key") from error
    exponent, modulus = (int.from_bytes(value, "big") for value in values)
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _hand_over(worker: Worker, transport: int, public: rsa.RSAPublicKey, kek: bytearray) -> int:
    """The AES key in the token; its handle."""
    template = {
        Attribute.CLASS: number(ObjectClass.SECRET_KEY),
        Attribute.KEY_TYPE: number(CkKeyType.AES),
        Attribute.TOKEN: FALSE,
        Attribute.PRIVATE: TRUE,
        Attribute.SENSITIVE: TRUE,
        Attribute.EXTRACTABLE: FALSE,
        Attribute.UNWRAP: TRUE,
    }
    refused: CkError | None = None
    for algorithm, mechanism, mgf in _OAEP_HASHES:
        encrypted = public.encrypt(bytes(kek), padding.OAEP(padding.MGF1(algorithm), algorithm, None))
        # CK_RSA_PKCS_OAEP_PARAMS: hash, mask function, source, its data (none) and their length
        parameters = b"".join(map(number, (mechanism, mgf, _CKZ_DATA_SPECIFIED, 0, 0)))
        try:
            return worker.cryptoki.unwrap(
                worker.handle, (int(Mechanism.RSA_PKCS_OAEP), parameters), transport, encrypted, template
            )
        except CkError as error:
            refused = error
    raise refused or AssertionError("unreachable")


def _unwrap(worker: Worker, kek: int, wrapped: bytes, templates: Sequence[Template]) -> None:
    refused: CkError | None = None
    for mechanism, template in itertools.product(PADDED_WRAPS, templates):
        try:
            worker.cryptoki.unwrap(worker.handle, (mechanism, b""), kek, wrapped, template)
        except CkError as error:
            refused = error
        else:
            return
    raise refused or AssertionError("unreachable")
