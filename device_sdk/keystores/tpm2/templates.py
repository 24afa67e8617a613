"""Public areas: what is asked of the TPM, and what it says it made (TPM 2.0 part 2, 12.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tpm2_pytss import (
    TPM2_ALG,
    TPM2_ECC,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPMS_ECC_PARMS,
    TPMS_KEYEDHASH_PARMS,
    TPMS_RSA_PARMS,
    TPMS_SYMCIPHER_PARMS,
    TPMT_ECC_SCHEME,
    TPMT_KDF_SCHEME,
    TPMT_KEYEDHASH_SCHEME,
    TPMT_PUBLIC,
    TPMT_RSA_SCHEME,
    TPMT_SYM_DEF_OBJECT,
    TPMU_PUBLIC_PARMS,
    TPMU_SYM_KEY_BITS,
    TPMU_SYM_MODE,
)

from device_sdk.model.keys import KeyType, PublicKey
from device_sdk.model.wiping import overwrite

PROOF = ("fixedTPM", "fixedParent", "sensitiveDataOrigin")
"""The attributes of a key that was born in this TPM and cannot leave it."""

_ATTRIBUTES = {
    "fixedTPM": TPMA_OBJECT.FIXEDTPM,
    "fixedParent": TPMA_OBJECT.FIXEDPARENT,
    "sensitiveDataOrigin": TPMA_OBJECT.SENSITIVEDATAORIGIN,
    "userWithAuth": TPMA_OBJECT.USERWITHAUTH,
    "noDA": TPMA_OBJECT.NODA,
    "restricted": TPMA_OBJECT.RESTRICTED,
    "sign": TPMA_OBJECT.SIGN_ENCRYPT,
    "decrypt": TPMA_OBJECT.DECRYPT,
}
# noDA: a key under dictionary-attack protection that is in use when the power fails raises the TPM's failure counter at
# the next start, with the right PIN and all; three power cuts would lock the TPM
_BORN_HERE = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA
)
PROOF_BITS = int(TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.SENSITIVEDATAORIGIN)
"""The same as bits."""

KEPT_HERE = TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.NODA
"""The attributes of what came from outside and does not leave this TPM's storage hierarchy again."""

_CURVES = {
    KeyType.EC_P256: TPM2_ECC.NIST_P256,
    KeyType.EC_P384: TPM2_ECC.NIST_P384,
    KeyType.EC_P521: TPM2_ECC.NIST_P521,
}


@dataclass(frozen=True)
class PublicArea:
    """What a public area says.

    Attributes:
        public_key: the key.
        key_type: one of the SDK's types, or None.
        attributes: by the specification's names, with name algorithm and scheme.
        scheme_hash: TPM2_ALG of the only hash the key signs with, or None if any will do.
        scheme: TPM2_ALG of the only scheme the key is for, or None.
        has_policy: authPolicy is not empty.
        below_root: the key lies directly below the standard storage root key; looked up only where it matters.
    """

    public_key: PublicKey
    key_type: KeyType | None
    attributes: dict[str, bool | int | str]
    scheme: int | None
    scheme_hash: int | None
    has_policy: bool = False
    below_root: bool = False

    @property
    def ways_out(self) -> tuple[str, ...]:
        """What could let the key leave this TPM; nothing for a key that is fixed, or stuck below the storage root key.

        TPM2_Duplicate moves a key that is not fixedParent if a policy allows it; and a key goes where its parent goes.
        """
        if self.attributes["fixedTPM"] and self.attributes["fixedParent"]:
            return ()
        found = {"authPolicy": self.has_policy, "parent": not self.below_root}
        return tuple(name for name, leads_out in found.items() if leads_out)

    @property
    def failed_proof(self) -> tuple[str, ...]:
        """The attributes that should prove the key non-extractable and do not."""
        return tuple(name for name in PROOF if not self.attributes[name])

    @property
    def is_device_key(self) -> bool:
        """Whether it is a key to sign or decrypt with, not a storage or attestation key."""
        attributes = self.attributes
        return not attributes["restricted"] and bool(attributes["sign"] or attributes["decrypt"])


def storage_template(*, rsa_key: bool = False) -> TPM2B_PUBLIC:
    """The TCG's template of the storage root key, P-256 or RSA-2048 (TPM v2.0 Provisioning Guidance, 7.5.1)."""
    symmetric = TPMT_SYM_DEF_OBJECT(
        algorithm=TPM2_ALG.AES, keyBits=TPMU_SYM_KEY_BITS(aes=128), mode=TPMU_SYM_MODE(aes=TPM2_ALG.CFB)
    )
    attributes = _BORN_HERE | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.DECRYPT
    if rsa_key:
        return _rsa(2048, attributes, symmetric)
    return _ecc(TPM2_ECC.NIST_P256, attributes, symmetric)


def key_template(key_type: KeyType) -> TPM2B_PUBLIC:
    """A device key: signs and decrypts (or agrees), any scheme, any hash."""
    attributes = _BORN_HERE | TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.DECRYPT
    none = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)
    if key_type.is_ec:
        return _ecc(_CURVES[key_type], attributes, none)
    return _rsa(key_type.key_bits, attributes, none)


def import_template(key_type: KeyType, public_key: PublicKey) -> TPM2B_PUBLIC:
    """A device key that comes from outside: with its public half, and without the marks of a key that was born here.

    TPM2_Import refuses fixedTPM and fixedParent. authPolicy stays empty: see importing.
    """
    template = key_template(key_type)
    area = template.publicArea
    area.objectAttributes = TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.NODA | TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.DECRYPT
    numbers = public_key.public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        area.unique.rsa = numbers.n.to_bytes(key_type.key_bits // 8, "big")
    else:
        size = (key_type.key_bits + 7) // 8
        area.unique.ecc.x = numbers.x.to_bytes(size, "big")
        area.unique.ecc.y = numbers.y.to_bytes(size, "big")
    return template


def sealed_template() -> TPM2B_PUBLIC:
    """A value that TPM2_Unseal gives out, here and nowhere else."""
    detail = TPMS_KEYEDHASH_PARMS(scheme=TPMT_KEYEDHASH_SCHEME(scheme=TPM2_ALG.NULL))
    return _public(TPM2_ALG.KEYEDHASH, KEPT_HERE, TPMU_PUBLIC_PARMS(keyedHashDetail=detail))


def mac_template() -> TPM2B_PUBLIC:
    """A key for HMAC with SHA-256, made by the TPM."""
    scheme = TPMT_KEYEDHASH_SCHEME(scheme=TPM2_ALG.HMAC)
    scheme.details.hmac.hashAlg = TPM2_ALG.SHA256
    detail = TPMS_KEYEDHASH_PARMS(scheme=scheme)
    return _public(TPM2_ALG.KEYEDHASH, _BORN_HERE | TPMA_OBJECT.SIGN_ENCRYPT, TPMU_PUBLIC_PARMS(keyedHashDetail=detail))


def cipher_template(key_bytes: int, *, encrypts: bool, decrypts: bool) -> TPM2B_PUBLIC:
    """An AES key for TPM2_EncryptDecrypt2 in any mode, which does not come out."""
    symmetric = TPMT_SYM_DEF_OBJECT(
        algorithm=TPM2_ALG.AES, keyBits=TPMU_SYM_KEY_BITS(aes=8 * key_bytes), mode=TPMU_SYM_MODE(aes=TPM2_ALG.NULL)
    )
    attributes = KEPT_HERE
    attributes |= TPMA_OBJECT.SIGN_ENCRYPT if encrypts else 0
    attributes |= TPMA_OBJECT.DECRYPT if decrypts else 0
    return _public(TPM2_ALG.SYMCIPHER, attributes, TPMU_PUBLIC_PARMS(symDetail=TPMS_SYMCIPHER_PARMS(sym=symmetric)))


def sensitive(auth: bytes, data: bytes | bytearray = b"") -> TPM2B_SENSITIVE_CREATE:
    """The secret half of a creation: the authorisation value, and what is sealed; a new key itself comes from the TPM."""
    value = TPM2B_SENSITIVE_CREATE()
    if auth:
        value.sensitive.userAuth = auth
    if data:
        copy = bytes(data)
        value.sensitive.data = copy
        overwrite(copy)
    return value


def describe(public: TPM2B_PUBLIC) -> PublicArea:
    """Read a public area.

    Raises:
        ValueError: not an elliptic curve or RSA key, or on a curve that is not handled.
    """
    area = public.publicArea
    set_bits = int(area.objectAttributes)
    attributes: dict[str, bool | int | str] = {name: bool(set_bits & int(bit)) for name, bit in _ATTRIBUTES.items()}
    key: PublicKey
    if int(area.type) == int(TPM2_ALG.ECC):
        key, parameters = _ec_key(area), area.parameters.eccDetail
    elif int(area.type) == int(TPM2_ALG.RSA):
        key, parameters = _rsa_key(area), area.parameters.rsaDetail
    else:
        raise ValueError("neither an elliptic curve nor an RSA key")
    scheme = int(parameters.scheme.scheme)
    any_scheme = scheme == int(TPM2_ALG.NULL)
    try:
        key_type = KeyType.of(key)
    except ValueError:
        key_type = None
    return PublicArea(
        public_key=key,
        key_type=key_type,
        attributes=attributes,
        scheme=None if any_scheme else scheme,
        scheme_hash=None if any_scheme else int(parameters.scheme.details.anySig.hashAlg),
        has_policy=bool(bytes(area.authPolicy)),
    )


def is_standard_storage_key(public: TPM2B_PUBLIC) -> bool:
    """Whether a public area follows the storage template, whatever its key."""
    copy, _ = TPM2B_PUBLIC.unmarshal(public.marshal())
    template = storage_template()
    if int(copy.publicArea.type) != int(TPM2_ALG.ECC):
        return False
    copy.publicArea.unique = template.publicArea.unique
    return bytes(copy.marshal()) == bytes(template.marshal())


def _ecc(curve: int, attributes: int, symmetric: Any) -> TPM2B_PUBLIC:
    detail = TPMS_ECC_PARMS(
        symmetric=symmetric,
        scheme=TPMT_ECC_SCHEME(scheme=TPM2_ALG.NULL),
        curveID=curve,
        kdf=TPMT_KDF_SCHEME(scheme=TPM2_ALG.NULL),
    )
    return _public(TPM2_ALG.ECC, attributes, TPMU_PUBLIC_PARMS(eccDetail=detail))


def _rsa(bits: int, attributes: int, symmetric: Any) -> TPM2B_PUBLIC:
    detail = TPMS_RSA_PARMS(symmetric=symmetric, scheme=TPMT_RSA_SCHEME(scheme=TPM2_ALG.NULL), keyBits=bits, exponent=0)
    return _public(TPM2_ALG.RSA, attributes, TPMU_PUBLIC_PARMS(rsaDetail=detail))


def _public(kind: int, attributes: int, parameters: Any) -> TPM2B_PUBLIC:
    return TPM2B_PUBLIC(
        publicArea=TPMT_PUBLIC(
            type=kind, nameAlg=TPM2_ALG.SHA256, objectAttributes=attributes, authPolicy=b"", parameters=parameters
        )
    )


def _ec_key(area: Any) -> ec.EllipticCurvePublicKey:
    curves = {int(curve): key_type.curve for key_type, curve in _CURVES.items()}
    curve = curves.get(int(area.parameters.eccDetail.curveID))
    if curve is None:
        raise ValueError("a curve the SDK does not handle")
    x, y = bytes(area.unique.ecc.x), bytes(area.unique.ecc.y)
    return ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), curve).public_key()


def _rsa_key(area: Any) -> rsa.RSAPublicKey:
    exponent = int(area.parameters.rsaDetail.exponent) or 65537
    return rsa.RSAPublicNumbers(exponent, int.from_bytes(bytes(area.unique.rsa), "big")).public_key()
