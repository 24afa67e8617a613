"""Encrypts to certificates: CMS EnvelopedData (RFC 5652) or AuthEnvelopedData (RFC 5083), in DER."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.error import PyAsn1Error
from pyasn1.type import univ
from pyasn1_alt_modules import rfc4055, rfc5083, rfc5084, rfc5280, rfc5652

from device_sdk_simulators.cale.capabilities import EcMethod, Method, RsaMethod, method_for
from device_sdk_simulators.cale.ciphers import ContentCipher
from device_sdk_simulators.cale.key_agreement import key_agreement_recipient

Asn1: TypeAlias = Any
"""A pyasn1 object; that library has no types."""

_CONSTRUCTED_1 = b"\xa1"
_SEQUENCE, _CONTEXT_0, _CONSTRUCTED_0 = 0x30, 0x80, 0xA0
"""Tags: SEQUENCE, [0] IMPLICIT OCTET STRING, [0] EXPLICIT."""

DATA = str(rfc5652.id_data)
_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_RSAES_OAEP = "1.2.840.113549.1.1.7"
_HASHES: dict[str | None, tuple[type[hashes.HashAlgorithm], Asn1]] = {
    "sha1": (hashes.SHA1, rfc4055.id_sha1),
    "sha256": (hashes.SHA256, rfc4055.id_sha256),
    "sha384": (hashes.SHA384, rfc4055.id_sha384),
    "sha512": (hashes.SHA512, rfc4055.id_sha512),
}


def seal(
    plaintext: bytes,
    recipient: x509.Certificate,
    cipher: ContentCipher,
    *,
    hardened: bool = False,
    method: Method | None = None,
    content_type: str = DATA,
) -> bytes:
    """ContentInfo with the plaintext for the recipient's key alone.

    Args:
        plaintext: any bytes.
        recipient: certificate with an RSA or EC key; what it says its owner decrypts is kept to.
        cipher: of the content; `capabilities.fit` gives one that the recipient reads.
        hardened: OAEP instead of PKCS#1 v1.5, and the recipient named by its key, not by its issuer.
        method: for the content key; None for what `capabilities.method_for` says.
        content_type: of the plaintext, dotted.

    Raises:
        ValueError: the recipient reads no method this server writes, or its key is neither RSA nor EC.
    """
    return seal_for([(recipient, method)], plaintext, cipher, hardened=hardened, content_type=content_type)


def seal_for(
    recipients: Sequence[tuple[x509.Certificate, Method | None]],
    plaintext: bytes,
    cipher: ContentCipher,
    *,
    hardened: bool = False,
    content_type: str = DATA,
) -> bytes:
    """The same for several recipients, each with its own method."""
    key, infos = _addressed(recipients, cipher, hardened=hardened)
    if cipher.aead:
        nonce = os.urandom(12)
        attributes = _authenticated(content_type)
        sealed = AESGCM(key).encrypt(nonce, plaintext, encode(attributes) if attributes is not None else None)
        return assemble(infos, cipher, nonce, sealed[:-16], sealed[-16:], content_type)
    padder = padding.PKCS7(128).padder()
    return _chained(infos, cipher, key, padder.update(plaintext) + padder.finalize(), content_type)


def unreadable(
    length: int,
    recipient: x509.Certificate,
    cipher: ContentCipher,
    *,
    hardened: bool = False,
    content_type: str = DATA,
) -> bytes:
    """ContentInfo like one with a plaintext of so many bytes, that nobody reads: not even the recipient.

    Whoever has the key finds a content key, and then a bad tag, or a padding that cannot be one. To everybody else it is a
    message like any other one for this recipient.

    Raises:
        ValueError: as `seal`.
    """
    key, infos = _addressed([(recipient, None)], cipher, hardened=hardened)
    if cipher.aead:
        return assemble(infos, cipher, os.urandom(12), os.urandom(length), os.urandom(16), content_type)
    return _chained(infos, cipher, key, os.urandom(length // 16 * 16 + 15) + b"\0", content_type)


def _addressed(
    recipients: Sequence[tuple[x509.Certificate, Method | None]], cipher: ContentCipher, *, hardened: bool
) -> tuple[bytes, list[Asn1]]:
    """A content key, and the RecipientInfos that have it."""
    key = os.urandom(cipher.key_bytes)
    return key, [
        recipient_info(recipient, key, method or method_for(recipient, cipher, hardened=hardened), by_key=hardened)
        for recipient, method in recipients
    ]


def _chained(infos: Sequence[Asn1], cipher: ContentCipher, key: bytes, blocks: bytes, content_type: str) -> bytes:
    vector = os.urandom(16)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    ciphertext = encryptor.update(blocks) + encryptor.finalize()
    return assemble(infos, cipher, vector, ciphertext, content_type=content_type)


def _authenticated(content_type: str) -> Asn1 | None:
    """The attributes that say of what type an authenticated content is; data needs none (RFC 5083 section 2.1)."""
    if content_type == DATA:
        return None
    attribute = rfc5652.Attribute()
    attribute["attrType"] = rfc5652.id_contentType
    attribute["attrValues"].append(encode(univ.ObjectIdentifier(content_type)))
    attributes = univ.SetOf(componentType=rfc5652.Attribute())
    attributes.append(attribute)
    return attributes


def assemble(
    infos: Sequence[Asn1],
    cipher: ContentCipher,
    nonce: bytes,
    ciphertext: bytes,
    mac: bytes = b"",
    content_type: str = DATA,
) -> bytes:
    """DER of the message around RecipientInfos and a ciphertext."""
    # by hand around what pyasn1 makes of the small parts: it would copy a large ciphertext in every layer
    addressed = rfc5652.RecipientInfos()
    addressed.extend(infos)
    plain_rsa = all(info.getName() == "ktri" and int(info["ktri"]["version"]) == 0 for info in infos)
    # RFC 5652 section 6.1: version 0 only if every recipient is of version 0; RFC 5083 section 2.1: always 0
    version = univ.Integer(0 if cipher.aead or plain_rsa else 2)
    algorithm = rfc5652.ContentEncryptionAlgorithmIdentifier()
    algorithm["algorithm"] = cipher.oid
    algorithm["parameters"] = _content_parameters(cipher, nonce)
    content = [encode(univ.ObjectIdentifier(content_type)), encode(algorithm), *_tagged(_CONTEXT_0, [ciphertext])]
    inner = [encode(version), encode(addressed), *_tagged(_SEQUENCE, content)]
    if cipher.aead:
        attributes = _authenticated(content_type)
        # [1] IMPLICIT in the message, and the SET OF with its own tag for the tag (RFC 5083 section 2.2)
        inner += [] if attributes is None else [_CONSTRUCTED_1 + encode(attributes)[1:]]
        inner.append(encode(univ.OctetString(mac)))
    kind = rfc5083.id_ct_authEnvelopedData if cipher.aead else rfc5652.id_envelopedData
    outer = [encode(kind), *_tagged(_CONSTRUCTED_0, _tagged(_SEQUENCE, inner))]
    return b"".join(_tagged(_SEQUENCE, outer))


def _tagged(tag: int, pieces: Sequence[bytes]) -> list[bytes]:
    """The pieces of a DER value with its tag and length before them."""
    length = sum(map(len, pieces))
    if length < 0x80:
        return [bytes([tag, length]), *pieces]
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return [bytes([tag, 0x80 | len(octets)]) + octets, *pieces]


def ciphertext_length(message: bytes) -> tuple[int, bool, str]:
    """How many bytes of encrypted content a message made here has, whether it is authenticated, and its type.

    Raises:
        ValueError: it is no such message.
    """
    try:
        info = decode(message, asn1Spec=rfc5652.ContentInfo())[0]
        aead = info["contentType"] == rfc5083.id_ct_authEnvelopedData
        spec = rfc5083.AuthEnvelopedData() if aead else rfc5652.EnvelopedData()
        enveloped = decode(info["content"], asn1Spec=spec)[0]
    except PyAsn1Error as error:
        raise ValueError("not an encrypted message") from error
    part = enveloped["authEncryptedContentInfo" if aead else "encryptedContentInfo"]
    return len(bytes(part["encryptedContent"])), bool(aead), str(part["contentType"])


def _content_parameters(cipher: ContentCipher, nonce: bytes) -> bytes:
    if not cipher.aead:
        return bytes(encode(univ.OctetString(nonce)))
    parameters = rfc5084.GCMParameters()
    parameters["aes-nonce"] = nonce
    parameters["aes-ICVlen"] = 16
    return bytes(encode(parameters))


def recipient_info(recipient: x509.Certificate, key: bytes, method: Method, *, by_key: bool) -> Asn1:
    """The RecipientInfo of one certificate: who it is, and the content key for it.

    Raises:
        ValueError: the key is neither RSA nor EC, or the method is for another kind.
    """
    public_key = recipient.public_key()
    if isinstance(public_key, ec.EllipticCurvePublicKey) and isinstance(method, EcMethod):
        return key_agreement_recipient(recipient, public_key, key, method, by_key=by_key)
    if not isinstance(public_key, rsa.RSAPublicKey) or not isinstance(method, RsaMethod):
        raise ValueError("the recipient's key is neither RSA nor EC, or the method is for another kind")
    scheme = _oaep(method) if method.oaep_hash else PKCS1v15()
    info = rfc5652.RecipientInfo()
    transport = info["ktri"]
    transport["version"] = 2 if by_key else 0
    if by_key:
        transport["rid"]["subjectKeyIdentifier"] = subject_key_identifier(recipient)
    else:
        transport["rid"]["issuerAndSerialNumber"] = issuer_and_serial(recipient)
    transport["keyEncryptionAlgorithm"]["algorithm"] = _RSAES_OAEP if method.oaep_hash else _RSA_ENCRYPTION
    parameters = _oaep_parameters(method) if method.oaep_hash else encode(univ.Null(""))
    transport["keyEncryptionAlgorithm"]["parameters"] = parameters
    transport["encryptedKey"] = public_key.encrypt(key, scheme)
    return info


def _oaep(method: RsaMethod) -> OAEP:
    return OAEP(MGF1(_HASHES[method.mgf_hash or "sha1"][0]()), _HASHES[method.oaep_hash or "sha1"][0](), None)


def _oaep_parameters(method: RsaMethod) -> bytes:
    """RSAES-OAEP-params; SHA-1 is the default, which DER leaves out (RFC 4055 section 4.1)."""
    parameters = rfc4055.RSAES_OAEP_params()
    parameters.clear()  # a value, even where everything is left at its default
    if method.oaep_hash not in (None, "sha1"):
        parameters["hashFunc"]["algorithm"] = _HASHES[method.oaep_hash][1]
    if method.mgf_hash not in (None, "sha1"):
        parameters["maskGenFunc"]["algorithm"] = rfc4055.id_mgf1
        digest = rfc5280.AlgorithmIdentifier()
        digest["algorithm"] = _HASHES[method.mgf_hash][1]
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
