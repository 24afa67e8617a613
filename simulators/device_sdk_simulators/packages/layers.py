"""What protects a package of keys: signatures and encryption, in the nestings of RFC 8295 section 5.1.2."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from cryptography import x509
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5083, rfc5084, rfc5652, rfc6031, rfc6032, rfc7191

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.cale.capabilities import EcMethod, RsaMethod
from device_sdk_simulators.cale.envelope import recipient_info
from device_sdk_simulators.cale.shared_key import Kek
from device_sdk_simulators.packages.signing import BY_ISSUER, attribute, signed_data

Nesting: TypeAlias = Literal["a", "a-signed", "b", "c", "d", "d-bare", "e", "e-bare"]
"""Those of section 5.1.2, in its order; -signed and -bare are its variants with and without the inner signature."""
NESTINGS: tuple[Nesting, ...] = get_args(Nesting)
ContentCipher: TypeAlias = Literal["kwp", "cbc", "gcm"]
CONTENT_CIPHERS: tuple[ContentCipher, ...] = get_args(ContentCipher)

_AES = "2.16.840.1.101.3.4.1."
_KWP, _CBC, _GCM = _AES + "48", _AES + "42", _AES + "46"
_SHA256, _ECDSA_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"
Content: TypeAlias = tuple[Any, bytes]
"""A content type and the content itself, without a ContentInfo."""


@dataclass(frozen=True)
class Protection:
    """Who signs, and who may read.

    Attributes:
        signer: with an EC key.
        certificates: those that go along.
        recipient: whose key opens it.
        cipher: of the content.
        request: DER of a KeyPkgIdentifierAndReceiptReq, for the innermost signature; None for none.
    """

    signer: Authority
    certificates: Sequence[x509.Certificate]
    recipient: x509.Certificate
    cipher: ContentCipher = "kwp"
    request: bytes | None = None


def protect(package: bytes, nesting: Nesting, by: Protection) -> bytes:
    """ContentInfo with a SymmetricKeyPackage in one of the nestings."""
    content: Content = (rfc6031.id_ct_KP_sKeyPackage, package)
    if nesting in ("a-signed", "b", "c", "d", "e"):
        content = signed(content, by.signer, by.certificates, request=by.request)
    if nesting in ("b", "c"):
        content = enveloped(content, by.recipient, by.cipher)
    if nesting[0] in "de":
        content = encrypted_key_package(enveloped(content, by.recipient, by.cipher))
    if nesting[0] in "ce":
        content = signed(content, by.signer, by.certificates, request=by.request if nesting == "e-bare" else None)
    return content_info(content)


def content_info(content: Content) -> bytes:
    """DER of a ContentInfo."""
    info = rfc5652.ContentInfo()
    info["contentType"], info["content"] = content
    return bytes(encode(info))


def signed(
    content: Content, signer: Authority, certificates: Sequence[x509.Certificate], *, request: bytes | None = None
) -> Content:
    """SignedData with one signature; the signer is named by issuer and serial number."""
    asked = [] if request is None else [attribute(rfc7191.id_aa_KP_keyPkgIdAndReceiptReq, univ.Any(request))]
    kind, inside = content
    return rfc5652.id_signedData, signed_data(
        inside, str(kind), signer, asked, certificates=certificates, odd=BY_ISSUER
    )


def enveloped(content: Content, recipient: x509.Certificate | Kek, cipher: ContentCipher) -> Content:
    """EnvelopedData, or AuthEnvelopedData for GCM, for one certificate's key or a key both sides have."""
    key = os.urandom(32)
    content_type, inside = content
    data = rfc5083.AuthEnvelopedData() if cipher == "gcm" else rfc5652.EnvelopedData()
    data["version"] = 0 if cipher == "gcm" else 2
    data["recipientInfos"][0] = _recipient(recipient, key)
    part = data["authEncryptedContentInfo" if cipher == "gcm" else "encryptedContentInfo"]
    mac = fill(part, content_type, inside, key, cipher)
    if cipher == "gcm":
        data["mac"] = mac
    return (rfc5083.id_ct_authEnvelopedData if cipher == "gcm" else rfc5652.id_envelopedData), bytes(encode(data))


def encrypted(content: Content, key: bytes, cipher: ContentCipher, identifier: bytes | None) -> Content:
    """EncryptedData with a key both sides have (RFC 6032 section 3)."""
    data = rfc5652.EncryptedData()
    data["version"] = 0 if identifier is None else 2
    fill(data["encryptedContentInfo"], content[0], content[1], key, cipher)
    if identifier is not None:
        data["unprotectedAttrs"][0]["attrType"] = rfc6032.id_aa_KP_contentDecryptKeyID
        data["unprotectedAttrs"][0]["attrValues"][0] = encode(univ.OctetString(identifier))
    return rfc5652.id_encryptedData, bytes(encode(data))


def encrypted_key_package(content: Content) -> Content:
    """The same as a choice of EncryptedKeyPackage: another type, and for two of three another tag."""
    kind, der = content
    first = {rfc5652.id_envelopedData: 0xA0, rfc5083.id_ct_authEnvelopedData: 0xA1}.get(kind, 0x30)
    return rfc6032.id_ct_KP_encryptedKeyPkg, bytes([first]) + der[1:]


def fill(part: Any, content_type: Any, inside: bytes, key: bytes, cipher: ContentCipher) -> bytes:
    """Encrypt into an EncryptedContentInfo; the tag of GCM."""
    mac = b""
    algorithm = part["contentEncryptionAlgorithm"]
    part["contentType"] = content_type
    if cipher == "kwp":
        algorithm["algorithm"] = _KWP
        ciphertext = aes_key_wrap_with_padding(key, inside)
    elif cipher == "cbc":
        vector, padder = os.urandom(16), padding.PKCS7(128).padder()
        algorithm["algorithm"] = _CBC
        algorithm["parameters"] = encode(univ.OctetString(vector))
        encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
        ciphertext = encryptor.update(padder.update(inside) + padder.finalize()) + encryptor.finalize()
    else:
        nonce = os.urandom(12)
        parameters = rfc5084.GCMParameters()
        parameters["aes-nonce"], parameters["aes-ICVlen"] = nonce, 16
        algorithm["algorithm"] = _GCM
        algorithm["parameters"] = encode(parameters)
        whole = AESGCM(key).encrypt(nonce, inside, None)
        ciphertext, mac = whole[:-16], whole[-16:]
    part["encryptedContent"] = ciphertext
    return mac


def _recipient(certificate: x509.Certificate | Kek, key: bytes) -> Any:
    if isinstance(certificate, Kek):
        return certificate.recipient(key)
    # the same wrap around the content key as around the content (RFC 6160 section 3)
    is_ec = isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    method = EcMethod(padded=True) if is_ec else RsaMethod(oaep_hash="sha256", mgf_hash="sha256")
    return recipient_info(certificate, key, method, by_key=False)
