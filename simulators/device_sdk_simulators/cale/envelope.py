"""Encrypts to one certificate: CMS EnvelopedData (RFC 5652) or AuthEnvelopedData (RFC 5083), in DER."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc4055, rfc5083, rfc5084, rfc5280, rfc5652

from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.key_agreement import key_agreement_recipient

Asn1: TypeAlias = Any
"""A pyasn1 object; that library has no types."""

_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_RSAES_OAEP = "1.2.840.113549.1.1.7"


def seal(plaintext: bytes, recipient: x509.Certificate, cipher: ContentCipher, *, hardened: bool = False) -> bytes:
    """ContentInfo with the plaintext for the recipient's key alone.

    Args:
        plaintext: any bytes.
        recipient: certificate with an RSA or EC key.
        cipher: of the content.
        hardened: RSA-OAEP with SHA-256 instead of PKCS#1 v1.5, and the recipient named by its key, not by its issuer.
    """
    key = os.urandom(cipher.key_bytes)
    info = _recipient_info(recipient, key, hardened=hardened)
    if cipher.aead:
        nonce = os.urandom(12)
        sealed = AESGCM(key).encrypt(nonce, plaintext, None)
        return assemble(info, cipher, nonce, sealed[:-16], sealed[-16:])
    vector = os.urandom(16)
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    padded = padder.update(plaintext) + padder.finalize()
    return assemble(info, cipher, vector, encryptor.update(padded) + encryptor.finalize())


def assemble(info: Asn1, cipher: ContentCipher, nonce: bytes, ciphertext: bytes, mac: bytes = b"") -> bytes:
    """DER of the message around a RecipientInfo and a ciphertext."""
    content = rfc5083.AuthEnvelopedData() if cipher.aead else rfc5652.EnvelopedData()
    part = content["authEncryptedContentInfo" if cipher.aead else "encryptedContentInfo"]
    plain_rsa = info.getName() == "ktri" and int(info["ktri"]["version"]) == 0
    # RFC 5652 section 6.1: version 0 only if every recipient is of version 0; RFC 5083 section 2.1: always 0
    content["version"] = 0 if cipher.aead or plain_rsa else 2
    content["recipientInfos"][0] = info
    part["contentType"] = rfc5652.id_data
    part["contentEncryptionAlgorithm"]["algorithm"] = cipher.oid
    part["contentEncryptionAlgorithm"]["parameters"] = _content_parameters(cipher, nonce)
    part["encryptedContent"] = ciphertext
    if cipher.aead:
        content["mac"] = mac
    message = rfc5652.ContentInfo()
    message["contentType"] = rfc5083.id_ct_authEnvelopedData if cipher.aead else rfc5652.id_envelopedData
    message["content"] = encode(content)
    return bytes(encode(message))


def ciphertext_length(message: bytes, cipher: ContentCipher) -> int:
    """How many bytes of encrypted content a message made with this cipher has."""
    content = decode(message, asn1Spec=rfc5652.ContentInfo())[0]["content"]
    enveloped = decode(content, asn1Spec=rfc5083.AuthEnvelopedData() if cipher.aead else rfc5652.EnvelopedData())[0]
    part = enveloped["authEncryptedContentInfo" if cipher.aead else "encryptedContentInfo"]
    return len(bytes(part["encryptedContent"]))


def _content_parameters(cipher: ContentCipher, nonce: bytes) -> bytes:
    if not cipher.aead:
        return bytes(encode(univ.OctetString(nonce)))
    parameters = rfc5084.GCMParameters()
    parameters["aes-nonce"] = nonce
    parameters["aes-ICVlen"] = 16
    return bytes(encode(parameters))


def _recipient_info(recipient: x509.Certificate, key: bytes, *, hardened: bool) -> Asn1:
    public_key = recipient.public_key()
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return key_agreement_recipient(recipient, public_key, key, by_key=hardened)
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise ValueError("the recipient's key is neither RSA nor EC")
    if hardened:
        digest = hashes.SHA256()
        encrypted = public_key.encrypt(key, OAEP(MGF1(digest), digest, None))
    else:
        encrypted = public_key.encrypt(key, PKCS1v15())
    info = rfc5652.RecipientInfo()
    transport = info["ktri"]
    transport["version"] = 2 if hardened else 0
    if hardened:
        transport["rid"]["subjectKeyIdentifier"] = subject_key_identifier(recipient)
    else:
        transport["rid"]["issuerAndSerialNumber"] = issuer_and_serial(recipient)
    transport["keyEncryptionAlgorithm"]["algorithm"] = _RSAES_OAEP if hardened else _RSA_ENCRYPTION
    transport["keyEncryptionAlgorithm"]["parameters"] = _oaep_parameters() if hardened else encode(univ.Null(""))
    transport["encryptedKey"] = encrypted
    return info


def _oaep_parameters() -> bytes:
    parameters = rfc4055.RSAES_OAEP_params()
    parameters["hashFunc"]["algorithm"] = rfc4055.id_sha256
    parameters["maskGenFunc"]["algorithm"] = rfc4055.id_mgf1
    digest = rfc5280.AlgorithmIdentifier()
    digest["algorithm"] = rfc4055.id_sha256
    parameters["maskGenFunc"]["parameters"] = encode(digest)
    return bytes(encode(parameters))


def issuer_and_serial(certificate: x509.Certificate) -> Asn1:
    """The IssuerAndSerialNumber of a certificate."""
    value = rfc5652.IssuerAndSerialNumber()
    value["issuer"] = decode(certificate.issuer.public_bytes(), asn1Spec=rfc5280.Name())[0]
    value["serialNumber"] = certificate.serial_number
    return value


def subject_key_identifier(certificate: x509.Certificate) -> bytes:
    """The subject key identifier extension's value."""
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
