"""What a device on a bench says of itself, and what is asked of it. All of it is the device's word until `Proof` is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from device_sdk.model.keys import KeyType


@dataclass(frozen=True)
class DeviceFacts:
    """Who the device says it is.

    Attributes:
        serial_number: printable, at most 64 characters.
        macs: MAC addresses, "02:00:5e:10:00:01", lower case, in the device's order.
        model: what it is, for people.
        sdk_version: of the device-sdk on it; "" where there is none (boot loader).
        clock: POSIX seconds of the device's clock.
        keystores: where keys can be made, as key URIs without an object ("tpm2:", "pkcs11:token=lab"), the best first.
        enrolled: SHA-256 of the certificate it has, 64 hex digits, or None.
        extra: further words a profile asked for, name to value, at most 64 of at most 256 characters.
        boot_loader: what its boot loader said when it started for the last time, on the line and not by its system; None where
            that was not met.
    """

    serial_number: str
    macs: tuple[str, ...] = ()
    model: str = ""
    sdk_version: str = ""
    clock: int | None = None
    keystores: tuple[str, ...] = ()
    enrolled: str | None = None
    extra: dict[str, str] = field(default_factory=dict)
    boot_loader: Mapping[str, str] | None = None


@dataclass(frozen=True)
class KeyWish:
    """The key that the device is to make.

    Attributes:
        uri: key URI, on the device, without a PIN.
        type: algorithm and size.
        file_allowed: whether a file key will do where the URI says so; never chosen by itself.
        again: whether a device that has a valid certificate of another key or server enrols anew; without it such a device
            refuses, and one that has a certificate for this key and server gives the key it has.
    """

    uri: str
    type: KeyType = KeyType.EC_P256
    file_allowed: bool = False
    again: bool = False


@dataclass(frozen=True)
class BenchKey:
    """The key that was made, or was there already from an interrupted run.

    Attributes:
        uri: canonical key URI on the device, without a PIN.
        type: algorithm and size.
        public_key: DER SubjectPublicKeyInfo.
        attestation: what its keystore says of it, JSON-able: {"keystore": "tpm2", "fixed_tpm": true, "sensitive_data_origin":
            true, "ek_certificate_sha256": ...} or {"keystore": "pkcs11", "sensitive": true, "never_extractable": true, ...}.
    """

    uri: str
    type: KeyType
    public_key: bytes
    attestation: dict[str, object]


@dataclass(frozen=True)
class Proof:
    """The device used its key: the signature of PROOF_CONTEXT, the station's nonce and the certificate's SHA-256.

    Attributes:
        certificate: DER of the certificate it uses now.
        signature: by its key; DER Ecdsa-Sig-Value or RSASSA-PKCS1-v1_5, over SHA-256.
    """

    certificate: bytes
    signature: bytes


PROOF_CONTEXT = b"device-sdk bench proof 1\0"
"""What is signed is PROOF_CONTEXT || nonce (32 bytes) || SHA-256 of the certificate's DER (32 bytes)."""
