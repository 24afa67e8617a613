"""The recipient of a message who has an EC key: ephemeral-static ECDH (RFC 5753 section 3.1)."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap, aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280, rfc5652, rfc5753

from device_sdk_simulators.cale.capabilities import EcMethod

_HASHES: dict[str, tuple[type[hashes.HashAlgorithm], str, str]] = {
    "sha1": (hashes.SHA1, "1.3.133.16.840.63.0.2", "1.3.133.16.840.63.0.3"),
    "sha224": (hashes.SHA224, "1.3.132.1.11.0", "1.3.132.1.14.0"),
    "sha256": (hashes.SHA256, "1.3.132.1.11.1", "1.3.132.1.14.1"),
    "sha384": (hashes.SHA384, "1.3.132.1.11.2", "1.3.132.1.14.2"),
    "sha512": (hashes.SHA512, "1.3.132.1.11.3", "1.3.132.1.14.3"),
}
"""Hash of the KDF to dhSinglePass-stdDH and -cofactorDH with it (RFC 5753 section 7.1.4)."""
AES_WRAP = {16: "2.16.840.1.101.3.4.1.5", 24: "2.16.840.1.101.3.4.1.25", 32: "2.16.840.1.101.3.4.1.45"}
_AES_WRAP_PAD = {16: "2.16.840.1.101.3.4.1.8", 24: "2.16.840.1.101.3.4.1.28", 32: "2.16.840.1.101.3.4.1.48"}


def key_agreement_recipient(
    recipient: x509.Certificate,
    public_key: ec.EllipticCurvePublicKey,
    key: bytes,
    method: EcMethod = EcMethod(),  # noqa: B008  # immutable
    *,
    by_key: bool,
) -> Any:
    """A RecipientInfo: the content key wrapped with a key agreed with an ephemeral one."""
    algorithm, standard, cofactor = _HASHES[method.kdf_hash]
    wrap_bytes = method.wrap_bytes or len(key)
    material = method.user_keying_material
    ephemeral = ec.generate_private_key(public_key.curve)
    shared = ephemeral.exchange(ec.ECDH(), public_key)
    wrap = (_AES_WRAP_PAD if method.padded else AES_WRAP)[wrap_bytes]
    wrapping = X963KDF(algorithm(), wrap_bytes, shared_info(wrap, wrap_bytes, material)).derive(shared)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    info = rfc5652.RecipientInfo()
    agreement = info["kari"]
    agreement["version"] = 3
    originator = agreement["originator"]["originatorKey"]
    originator["algorithm"]["algorithm"] = rfc5753.id_ecPublicKey
    originator["publicKey"] = univ.BitString.fromOctetString(point)
    if material is not None:
        agreement["ukm"] = material
    agreement["keyEncryptionAlgorithm"]["algorithm"] = cofactor if method.cofactor else standard
    agreement["keyEncryptionAlgorithm"]["parameters"] = encode(_wrap_algorithm(wrap))
    entry = agreement["recipientEncryptedKeys"][0]
    if by_key:
        identifier = recipient.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        entry["rid"]["rKeyId"]["subjectKeyIdentifier"] = identifier
    else:
        name = decode(recipient.issuer.public_bytes(), asn1Spec=rfc5280.Name())[0]
        entry["rid"]["issuerAndSerialNumber"]["issuer"] = name
        entry["rid"]["issuerAndSerialNumber"]["serialNumber"] = recipient.serial_number
    entry["encryptedKey"] = (aes_key_wrap_with_padding if method.padded else aes_key_wrap)(wrapping, key)
    return info


def _wrap_algorithm(wrap: str) -> Any:
    algorithm = rfc5280.AlgorithmIdentifier()
    algorithm["algorithm"] = wrap
    return algorithm


def shared_info(wrap: str, wrap_bytes: int, material: bytes | None) -> bytes:
    """DER of ECC-CMS-SharedInfo (RFC 5753 section 7.2)."""
    info = rfc5753.ECC_CMS_SharedInfo()
    info["keyInfo"]["algorithm"] = wrap
    if material is not None:
        info["entityUInfo"] = material
    info["suppPubInfo"] = (8 * wrap_bytes).to_bytes(4, "big")
    return bytes(encode(info))
