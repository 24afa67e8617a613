"""Opens AuthEnvelopedData with authenticated attributes by pyasn1 and cryptography: OpenSSL up to 3.0.19 cannot.

It takes the attributes to be [2], where RFC 5083 section 2.1 has [1], and does not authenticate them.
"""

from __future__ import annotations

from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc4055, rfc5083, rfc5084, rfc5280, rfc5652, rfc5753

_HASHES = {
    rfc4055.id_sha256: hashes.SHA256,
    rfc4055.id_sha384: hashes.SHA384,
    rfc5753.dhSinglePass_stdDH_sha256kdf_scheme: hashes.SHA256,
    rfc5753.dhSinglePass_stdDH_sha384kdf_scheme: hashes.SHA384,
}
_SET_OF = b"\x31"
_WRAP_BYTES = {"5": 16, "25": 24, "45": 32}
"""By the last arc of id-aes-wrap."""


def opened_by_parts(envelope: bytes, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes | None:
    """The content, if its tag is right for these attributes; None if this is not for the key, or was altered."""
    message, _ = decode(decode(envelope, rfc5652.ContentInfo())[0]["content"], rfc5083.AuthEnvelopedData())
    content = message["authEncryptedContentInfo"]
    (recipient,) = message["recipientInfos"]
    parameters, _ = decode(content["contentEncryptionAlgorithm"]["parameters"], rfc5084.GCMParameters())
    sealed = bytes(content["encryptedContent"]) + bytes(message["mac"])
    try:
        content_key = (_transported if recipient.getName() == "ktri" else _agreed)(recipient.getComponent(), key)
        attributes = _SET_OF + encode(message["authAttrs"])[1:]
        return AESGCM(content_key).decrypt(bytes(parameters["aes-nonce"]), sealed, attributes)
    except (InvalidTag, InvalidUnwrap, ValueError):
        return None


def _transported(recipient: Any, key: Any) -> bytes:
    algorithm = recipient["keyEncryptionAlgorithm"]
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if algorithm["algorithm"] == rfc4055.id_RSAES_OAEP:
        oaep, _ = decode(algorithm["parameters"], rfc4055.RSAES_OAEP_params())
        mask, _ = decode(oaep["maskGenFunc"]["parameters"], rfc5280.AlgorithmIdentifier())
        digest = _HASHES[oaep["hashFunc"]["algorithm"]]()
        scheme = padding.OAEP(padding.MGF1(_HASHES[mask["algorithm"]]()), digest, None)
    return bytes(key.decrypt(bytes(recipient["encryptedKey"]), scheme))


def _agreed(recipient: Any, key: Any) -> bytes:
    algorithm = recipient["keyEncryptionAlgorithm"]
    wrap, _ = decode(algorithm["parameters"], rfc5280.AlgorithmIdentifier())
    size = _WRAP_BYTES[str(wrap["algorithm"]).rpartition(".")[2]]
    info = rfc5753.ECC_CMS_SharedInfo()
    info["keyInfo"] = wrap
    info["suppPubInfo"] = (size * 8).to_bytes(4)
    point = recipient["originator"]["originatorKey"]["publicKey"].asOctets()
    peer = ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point)
    derived = X963KDF(_HASHES[algorithm["algorithm"]](), size, encode(info)).derive(key.exchange(ec.ECDH(), peer))
    (entry,) = recipient["recipientEncryptedKeys"]
    return aes_key_unwrap(derived, bytes(entry["encryptedKey"]))
