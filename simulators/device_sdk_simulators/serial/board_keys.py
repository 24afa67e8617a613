"""Keys of simulated devices: in software, in a SoftHSM token, or in a swtpm."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

BoardKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""What signs; where its secret is, is its own affair."""
CURVES: dict[str, ec.EllipticCurve] = {"ec-p256": ec.SECP256R1(), "ec-p384": ec.SECP384R1(), "ec-p521": ec.SECP521R1()}
KEY_TYPES = (*CURVES, "rsa-2048", "rsa-3072", "rsa-4096")
"""What can be asked for."""
_URI = re.compile(r"(tpm2|pkcs11|file):[!-~]{0,1024}")


class KeyRefusedError(ValueError):
    """This device makes no such key; the text says why."""


@dataclass(frozen=True)
class MadeKey:
    """A key with what there is to say about it.

    Attributes:
        key: signs.
        uri: its name on the device.
        type: one of KEY_TYPES.
        attestation: what its keystore says.
    """

    key: BoardKey
    uri: str
    type: str
    attestation: dict[str, object]

    @property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )


class KeyMaker(ABC):
    """Where a device has its keys.

    Attributes:
        keystores: the URIs the device names, the best first.
        blocks: whether signing takes a while.
    """

    keystores: tuple[str, ...] = ()
    blocks: bool = False

    @abstractmethod
    def make(self, uri: str, key_type: str, number: int) -> MadeKey:
        """Make the device's key with this number; KeyRefusedError, or SimulatorError if the keystore fails."""

    def rest(self) -> None:  # noqa: B027 - most have nothing to stop
        """Stop what need not run while the device is not used."""

    def close(self) -> None:  # noqa: B027 - most have started nothing
        """End what was started for the keys."""


def check_wish(uri: str, key_type: str, file_allowed: bool) -> str:
    """The scheme of the URI; KeyRefusedError if no key can be made there."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise KeyRefusedError(f"{uri[:80]!r} names no keystore")
    if key_type not in KEY_TYPES:
        raise KeyRefusedError(f"no key of type {key_type[:40]!r}")
    if match[1] == "file" and not file_allowed:
        raise KeyRefusedError("a key in a file is not allowed")
    return match[1]


class SoftwareKeys(KeyMaker):
    """Keys in this process that say they were in a TPM, or wherever the station wants them."""

    keystores = ("tpm2:",)

    def make(self, uri: str, key_type: str, number: int) -> MadeKey:
        """At once; RSA keys take a while."""
        scheme = uri.partition(":")[0]
        key: BoardKey
        if key_type in CURVES:
            key = ec.generate_private_key(CURVES[key_type])
        else:
            key = rsa.generate_private_key(65537, int(key_type.removeprefix("rsa-")))
        says: dict[str, object] = {"keystore": scheme, "simulated": "software"}
        if scheme == "tpm2":
            says |= {"fixed_tpm": True, "sensitive_data_origin": True}
        elif scheme == "pkcs11":
            says |= {"sensitive": True, "never_extractable": True, "local": True}
        return MadeKey(key, uri, key_type, says)
