"""The recipient of a message who has an EC key: ephemeral-static ECDH (RFC 5753 section 3.1)."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280, rfc5652, rfc5753

_SCHEME = "1.3.132.1.11.1"
_AES_WRAP = {16: "2.16.840.1.101.3.4.1.5", 32: "2.16.840.1.101.3.4.1.45"}


def key_agreement_recipient(
    recipient: x509.Certificate, public_key: ec.EllipticCurvePublicKey, key: bytes, *, by_key: bool
) -> Any:
    """A RecipientInfo: dhSinglePass-stdDH-sha256kdf-scheme, the content key wrapped with AES of its own size."""
    ephemeral = ec.generate_private_key(public_key.curve)
    shared = ephemeral.exchange(ec.ECDH(), public_key)
    wrapping = X963KDF(hashes.SHA256(), len(key), _shared_info(len(key))).derive(shared)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    info = rfc5652.RecipientInfo()
    agreement = info["kari"]
    agreement["version"] = 3
    originator = agreement["originator"]["originatorKey"]
    originator["algorithm"]["algorithm"] = rfc5753.id_ecPublicKey
    originator["publicKey"] = univ.BitString.fromOctetString(point)
    agreement["keyEncryptionAlgorithm"]["algorithm"] = _SCHEME
    agreement["keyEncryptionAlgorithm"]["parameters"] = encode(_wrap_algorithm(len(key)))
    entry = agreement["recipientEncryptedKeys"][0]
    if by_key:
        identifier = recipient.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        entry["rid"]["rKeyId"]["subjectKeyIdentifier"] = identifier
    else:
        name = decode(recipient.issuer.public_bytes(), asn1Spec=rfc5280.Name())[0]
        entry["rid"]["issuerAndSerialNumber"]["issuer"] = name
        entry["rid"]["issuerAndSerialNumber"]["serialNumber"] = recipient.serial_number
    entry["encryptedKey"] = aes_key_wrap(wrapping, key)
    return info


def _wrap_algorithm(key_bytes: int) -> Any:
    algorithm = rfc5280.AlgorithmIdentifier()
    algorithm["algorithm"] = _AES_WRAP[key_bytes]
    return algorithm


def _shared_info(key_bytes: int) -> bytes:
    info = rfc5753.ECC_CMS_SharedInfo()
    info["keyInfo"]["algorithm"] = _AES_WRAP[key_bytes]
    info["suppPubInfo"] = (8 * key_bytes).to_bytes(4, "big")
    return bytes(encode(info))
