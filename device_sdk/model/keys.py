"""What the layers above know about a key: its type, where it lives, and what was read back about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum, unique
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""What every keystore opens and every user of a key takes: cryptography's own interfaces."""

PublicKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@unique
class KeyType(Enum):
    """The key types of the SDK, by the names the command line uses."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    EC_P521 = "ec-p521"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"

    @property
    def is_ec(self) -> bool:
        """Whether this is an elliptic curve key."""
        return self.value.startswith("ec-")

    @property
    def key_bits(self) -> int:
        """Field size for EC, modulus length for RSA, in bits."""
        return int(self.value.split("-")[1].lstrip("p"))

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve of an EC key type; ValueError for RSA."""
        if not self.is_ec:
            raise ValueError(f"{self.value} has no curve")
        if self.key_bits == 256:
            return ec.SECP256R1()
        return ec.SECP384R1() if self.key_bits == 384 else ec.SECP521R1()

    @classmethod
    def of(cls, public_key: PublicKey) -> KeyType:
        """The type of a public key; ValueError for sizes and curves the SDK does not handle."""
        if isinstance(public_key, rsa.RSAPublicKey):
            return cls(f"rsa-{public_key.key_size}")
        names = {"secp256r1": cls.EC_P256, "secp384r1": cls.EC_P384, "secp521r1": cls.EC_P521}
        if public_key.curve.name not in names:
            raise ValueError(f"curve {public_key.curve.name} is not supported")
        return names[public_key.curve.name]


@dataclass(frozen=True)
class KeyInfo:
    """One key in a keystore, as read back from it.

    Attributes:
        uri: canonical URI that opens exactly this key; never holds a PIN.
        keystore: "pkcs11", "tpm2" or "file".
        key_type: one of KeyType, or None for a key the SDK does not handle.
        label: the object's label, the file's name, or the persistent handle.
        key_id: CKA_ID as hex, or None.
        spki_sha256: SHA-256 of the DER SubjectPublicKeyInfo, hex; None if the public key cannot be read.
        hardware: the private key is inside a token or TPM.
        extractable: whether the private key can leave it (CKA_EXTRACTABLE; for a TPM: not fixedTPM or not fixedParent,
            unless it is an imported key that nothing can duplicate).
        attributes: what was read back, by the keystore's own names (CKA_NEVER_EXTRACTABLE, fixedTPM, ...).
        certificate: whether a certificate is stored beside the key.
        imported: the private key was outside of this hardware once, so that copies of it may exist (CKA_LOCAL or
            CKA_NEVER_EXTRACTABLE is false; a TPM key without sensitiveDataOrigin or fixedTPM). Always false for key
            files, which do not tell where they come from.
    """

    uri: str
    keystore: str
    key_type: KeyType | None
    label: str
    key_id: str | None
    spki_sha256: str | None
    hardware: bool
    extractable: bool
    attributes: dict[str, bool | int | str] = field(default_factory=dict)
    certificate: bool = False
    imported: bool = False

    def to_json(self) -> dict[str, object]:
        """The same as data for `--json`."""
        return asdict(self) | {"key_type": self.key_type.value if self.key_type else None}


@dataclass(frozen=True)
class Probe:
    """What a token or TPM really can do, tried rather than believed.

    Attributes:
        keystore: "pkcs11", "tpm2" or "file".
        description: the token's or TPM's own words (manufacturer, model, serial, firmware), by name.
        key_types: key types it can create.
        operations: operation name ("sign-ecdsa-sha256", "decrypt-oaep-sha256", "ecdh", ...) to whether it works.
        limits: numbers that matter (transient object slots, attempts before lock-out, ...), by name.
        warnings: sentences for the person on the bench.
    """

    keystore: str
    description: dict[str, str]
    key_types: tuple[KeyType, ...]
    operations: dict[str, bool]
    limits: dict[str, int]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The same as data for `--json`."""
        return asdict(self) | {"key_types": [t.value for t in self.key_types]}
