"""What a keystore says of a key it made: the device's word about its hardware, for the station's ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.client.bench.facts import BenchKey
from device_sdk.client.device.context import Context
from device_sdk.errors import DeviceSdkError, MechanismUnsupportedError
from device_sdk.keystores.keys import DeviceKey

_MAX_TEXT = 256


def describe_key(context: Context, key: DeviceKey) -> BenchKey:
    """A key as the station is told of it.

    Raises:
        MechanismUnsupportedError: a kind of key the SDK does not make.
        KeyStoreError: the token or TPM cannot be asked.
    """
    info = key.info
    if info.key_type is None or not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise MechanismUnsupportedError(f"{info.uri}: a kind of key that the SDK does not make", uri=info.uri)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return BenchKey(info.uri, info.key_type, public, _attestation(context, key))


def _attestation(context: Context, key: DeviceKey) -> dict[str, object]:
    info = key.info
    said: dict[str, object] = {_snake(name): value for name, value in info.attributes.items()}
    said |= {
        "keystore": info.keystore,
        "hardware": info.hardware,
        "extractable": info.extractable,
        "imported": info.imported,
    }
    try:
        said |= context.about(info.uri)
    except DeviceSdkError as error:  # the key is good, and its maker says nothing of itself
        said["unknown"] = error.message
    return presentable(said)


def presentable(said: Mapping[str, object]) -> dict[str, object]:
    """The same as a station takes it: what makers write into their tokens may be too long, or no text for a terminal."""
    return {
        name: [_clean(one) for one in value] if isinstance(value, list) else _clean(value)
        for name, value in said.items()
    }


def _clean(value: object) -> object:
    if not isinstance(value, str):
        return value
    return "".join(char if char.isprintable() else "?" for char in value[:_MAX_TEXT])


def _snake(name: str) -> str:
    """CKA_NEVER_EXTRACTABLE and sensitiveDataOrigin, spelt alike."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.removeprefix("CKA_"))
    return re.sub(r"[^a-z0-9]+", "_", words.lower())
