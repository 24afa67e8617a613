"""The private key on its way: in the clear, or in a signed package in an envelope (RFC 7030 section 4.4.2, RFC 5958)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc4055, rfc5280, rfc5652, rfc5958

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import CaKey
from device_sdk_simulators.cale.key_agreement import key_agreement_recipient
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.cmc.answer import signed_data
from device_sdk_simulators.est.server_key_wish import Recipient
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.packages.layers import Content, content_info

_AES = "2.16.840.1.101.3.4.1."
_AES_CBC = {16: _AES + "2", 32: _AES + "42"}
_AES_WRAP = {16: _AES + "5", 24: _AES + "25", 32: _AES + "45"}
_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_RSAES_OAEP = "1.2.840.113549.1.1.7"
_USER_CERTIFICATE = "2.5.4.36"
_ECDH = "1.3.132.1.11.1"


def private_key_info(key: CaKey) -> bytes:
    """DER PrivateKeyInfo."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def signed_package(key: CaKey, signer: Authority, certificates: Sequence[x509.Certificate], now: datetime) -> bytes:
    """ContentInfo with the key in an AsymmetricKeyPackage, signed by who generated it."""
    content_type = rfc5958.id_ct_KP_aKeyPackage
    return signed_data(asymmetric_package(key), signer, list(certificates), now, content_type=content_type)


def asymmetric_package(*keys: CaKey, certificate: x509.Certificate | None = None) -> bytes:
    """DER of an AsymmetricKeyPackage; with the certificate as an attribute of each key, if one is given (AMB-02)."""
    package = rfc5958.AsymmetricKeyPackage()
    for place, key in enumerate(keys):
        package[place] = decode(private_key_info(key), asn1Spec=rfc5958.OneAsymmetricKey())[0]
        if certificate is not None:
            attribute = package[place]["attributes"][0]
            attribute["attrType"] = _USER_CERTIFICATE
            attribute["attrValues"][0] = certificate.public_bytes(Encoding.DER)
    return bytes(encode(package))


def envelope(message: bytes, recipient: Recipient) -> bytes:
    """ContentInfo with an EnvelopedData around a signed message; HttpError 400 if the client names no algorithm for it.

    The content is a SignedData without its ContentInfo, as its content type says (RFC 5652 section 6.1).
    """
    inside = bytes(decode(message, asn1Spec=rfc5652.ContentInfo())[0]["content"])
    return content_info(enveloped_to((rfc5652.id_signedData, inside), recipient))


def enveloped_to(content: Content, recipient: Recipient) -> Content:
    """EnvelopedData for whom the request names, with the algorithms it names; HttpError 400 if it names none."""
    content_type, inside = content
    content_key = os.urandom(_key_bytes(recipient))
    vector = os.urandom(16)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(content_key), modes.CBC(vector)).encryptor()
    padded = padder.update(inside) + padder.finalize()
    enveloped = rfc5652.EnvelopedData()
    enveloped["version"] = 2
    enveloped["recipientInfos"][0] = _recipient_info(recipient, content_key)
    part = enveloped["encryptedContentInfo"]
    part["contentType"] = content_type
    part["contentEncryptionAlgorithm"]["algorithm"] = _AES_CBC[len(content_key)]
    part["contentEncryptionAlgorithm"]["parameters"] = encode(univ.OctetString(vector))
    part["encryptedContent"] = encryptor.update(padded) + encryptor.finalize()
    return rfc5652.id_envelopedData, bytes(encode(enveloped))


def _key_bytes(recipient: Recipient) -> int:
    """As strong as what the content key is encrypted with (RFC 7030 section 4.4.2): AES-128, or AES-256 above it."""
    if recipient.secret is not None:
        return 16 if len(recipient.secret) == 16 else 32
    key = recipient.certificate.public_key() if recipient.certificate is not None else None
    strong = key.key_size > 256 if isinstance(key, ec.EllipticCurvePublicKey) else getattr(key, "key_size", 0) > 3072
    return 32 if strong else 16


def key_encipherment(recipient: Recipient) -> str:
    """The first of this server's algorithms for this key that the client can do, too; HttpError 400 if there is none."""
    key = recipient.certificate.public_key() if recipient.certificate is not None else None
    offers: tuple[str, ...] = (_ECDH, _AES_WRAP[_key_bytes(recipient)])
    if recipient.secret is not None:
        offers = (_AES_WRAP[len(recipient.secret)],)
    elif isinstance(key, rsa.RSAPublicKey):
        offers = (_RSAES_OAEP, _RSA_ENCRYPTION)
    for offer in offers:
        if offer in recipient.capabilities:
            return offer
    raise HttpError(
        400, "SMIMECapabilities lists no key encipherment algorithm that fits the key and that this server has"
    )


def _recipient_info(recipient: Recipient, content_key: bytes) -> Any:
    algorithm = key_encipherment(recipient)
    if recipient.secret is not None:
        return Kek(recipient.identifier, recipient.secret).recipient(content_key)
    assert recipient.certificate is not None
    key = recipient.certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return _transport(recipient, key, algorithm, content_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key_agreement_recipient(recipient.certificate, key, content_key, by_key=True)


def _transport(recipient: Recipient, key: rsa.RSAPublicKey, algorithm: str, content_key: bytes) -> Any:
    info = rfc5652.RecipientInfo()
    transport = info["ktri"]
    transport["version"] = 2
    transport["rid"]["subjectKeyIdentifier"] = recipient.identifier
    transport["keyEncryptionAlgorithm"]["algorithm"] = algorithm
    oaep = algorithm == _RSAES_OAEP
    transport["keyEncryptionAlgorithm"]["parameters"] = _oaep_sha256() if oaep else encode(univ.Null(""))
    scheme = OAEP(MGF1(hashes.SHA256()), hashes.SHA256(), None) if oaep else PKCS1v15()
    transport["encryptedKey"] = key.encrypt(content_key, scheme)
    return info


def transport_recipient(key: rsa.RSAPublicKey, identifier: bytes, content_key: bytes) -> Any:
    """A RecipientInfo: the content key encrypted with RSA-OAEP and SHA-256, for the key of that identifier."""
    recipient = Recipient(identifier, (_RSAES_OAEP,))
    return _transport(recipient, key, _RSAES_OAEP, content_key)


def _oaep_sha256() -> bytes:
    parameters = rfc4055.RSAES_OAEP_params()
    parameters["hashFunc"]["algorithm"] = rfc4055.id_sha256
    parameters["maskGenFunc"]["algorithm"] = rfc4055.id_mgf1
    digest = rfc5280.AlgorithmIdentifier()
    digest["algorithm"] = rfc4055.id_sha256
    parameters["maskGenFunc"]["parameters"] = encode(digest)
    return bytes(encode(parameters))
