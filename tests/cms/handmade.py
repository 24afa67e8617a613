"""Messages written with pyasn1-alt-modules, where openssl would not write them, and an RSA key that tells padding apart.

The key behaves as tokens and TPMs do: no implicit rejection, an error for bad padding.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.padding import PKCS7
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5083, rfc5652, rfc8103

from device_sdk.keystores.keys import RsaDeviceKey
from device_sdk.model.keys import KeyInfo
from tests.cms.powers import power

RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
AES_256_CBC = "2.16.840.1.101.3.4.1.42"
AES_256_GCM = "2.16.840.1.101.3.4.1.46"
AES_CCM = {16: "2.16.840.1.101.3.4.1.7", 24: "2.16.840.1.101.3.4.1.27", 32: "2.16.840.1.101.3.4.1.47"}


def key_transport(encrypted_key: bytes, ski: bytes = b"\x01" * 20, algorithm: str = RSA_ENCRYPTION) -> univ.Any:
    """A RecipientInfo with an RSA block as it is."""
    info = rfc5652.RecipientInfo()
    info["ktri"]["version"] = 2
    info["ktri"]["rid"]["subjectKeyIdentifier"] = ski
    info["ktri"]["keyEncryptionAlgorithm"]["algorithm"] = univ.ObjectIdentifier(algorithm)
    info["ktri"]["keyEncryptionAlgorithm"]["parameters"] = univ.Any(encode(univ.Null("")))
    info["ktri"]["encryptedKey"] = encrypted_key
    return info


def enveloped(
    content_key: bytes,
    plaintext: bytes,
    *recipients: univ.Any,
    cipher: str = AES_256_CBC,
    iv: bytes | None = None,
    content_type: univ.ObjectIdentifier = rfc5652.id_data,
) -> bytes:
    """DER of an EnvelopedData with AES-CBC content."""
    iv = os.urandom(16) if iv is None else iv
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(content_key), modes.CBC(iv)).encryptor()
    ciphertext = encryptor.update(padder.update(plaintext) + padder.finalize())
    data = rfc5652.EnvelopedData()
    data["version"] = 2
    for recipient in recipients:
        data["recipientInfos"].append(recipient)
    content = data["encryptedContentInfo"]
    content["contentType"] = content_type
    content["contentEncryptionAlgorithm"]["algorithm"] = univ.ObjectIdentifier(cipher)
    content["contentEncryptionAlgorithm"]["parameters"] = univ.Any(encode(univ.OctetString(iv)))
    content["encryptedContent"] = ciphertext
    return _content_info(rfc5652.id_envelopedData, encode(data))


def auth_enveloped(content_key: bytes, plaintext: bytes, *recipients: univ.Any, tag_bytes: int = 16) -> bytes:
    """DER of an AuthEnvelopedData with AES-GCM content and an authenticated attribute (RFC 5083 section 2.2)."""
    data = rfc5083.AuthEnvelopedData()
    data["version"] = 0
    for recipient in recipients:
        data["recipientInfos"].append(recipient)
    attribute = rfc5652.Attribute()
    attribute["attrType"] = rfc5652.id_contentType
    attribute["attrValues"].append(univ.Any(encode(rfc5652.id_data)))
    data["authAttrs"].append(attribute)
    attributes = univ.SetOf(componentType=rfc5652.Attribute())
    attributes.append(attribute)
    nonce = os.urandom(12)
    sealed = AESGCM(content_key).encrypt(nonce, plaintext, encode(attributes))
    # univ.Sequence and not rfc5084.GCMParameters, which refuses to write tag lengths that are not allowed
    parameters = univ.Sequence()
    parameters[0] = univ.OctetString(nonce)
    parameters[1] = univ.Integer(tag_bytes)
    content = data["authEncryptedContentInfo"]
    content["contentType"] = rfc5652.id_data
    content["contentEncryptionAlgorithm"]["algorithm"] = univ.ObjectIdentifier(AES_256_GCM)
    content["contentEncryptionAlgorithm"]["parameters"] = univ.Any(encode(parameters))
    content["encryptedContent"] = sealed[:-16]
    data["mac"] = sealed[-16:][:tag_bytes]
    return _content_info(rfc5083.id_ct_authEnvelopedData, encode(data))


def chacha_enveloped(content_key: bytes, plaintext: bytes, *recipients: univ.Any) -> bytes:
    """DER of an AuthEnvelopedData with ChaCha20-Poly1305 content (RFC 8103)."""
    nonce = os.urandom(12)
    sealed = ChaCha20Poly1305(content_key).encrypt(nonce, plaintext, b"")
    identifier = rfc8103.id_alg_AEADChaCha20Poly1305
    return authenticated(identifier, univ.OctetString(nonce), sealed[:-16], sealed[-16:], recipients)


def ccm_enveloped(
    content_key: bytes, plaintext: bytes, *recipients: univ.Any, tag_bytes: int = 16, nonce_bytes: int = 12
) -> bytes:
    """DER of an AuthEnvelopedData with AES-CCM content (RFC 5084 section 3.1)."""
    nonce = os.urandom(nonce_bytes)
    sealed = AESCCM(content_key, tag_bytes).encrypt(nonce, plaintext, b"")
    parameters = univ.Sequence()
    parameters[0] = univ.OctetString(nonce)
    parameters[1] = univ.Integer(tag_bytes)
    identifier = univ.ObjectIdentifier(AES_CCM[len(content_key)])
    return authenticated(identifier, parameters, sealed[:-tag_bytes], sealed[-tag_bytes:], recipients)


def authenticated(
    algorithm: univ.ObjectIdentifier,
    parameters: univ.Any,
    ciphertext: bytes,
    tag: bytes,
    recipients: tuple[univ.Any, ...],
) -> bytes:
    """DER of an AuthEnvelopedData without attributes."""
    data = rfc5083.AuthEnvelopedData()
    data["version"] = 0
    data["recipientInfos"].extend(recipients)
    content = data["authEncryptedContentInfo"]
    content["contentType"] = rfc5652.id_data
    content["contentEncryptionAlgorithm"]["algorithm"] = algorithm
    content["contentEncryptionAlgorithm"]["parameters"] = univ.Any(encode(parameters))
    content["encryptedContent"] = ciphertext
    data["mac"] = tag
    return _content_info(rfc5083.id_ct_authEnvelopedData, encode(data))


def _content_info(kind: univ.ObjectIdentifier, content: bytes) -> bytes:
    info = rfc5652.ContentInfo()
    info["contentType"] = kind
    info["content"] = univ.Any(content)
    return bytes(encode(info))


def rsa_block(public_key: rsa.RSAPublicKey, block: bytes) -> bytes:
    """An encryption block (RFC 8017 section 7.2.1) as it is, encrypted: good or bad."""
    numbers, size = public_key.public_numbers(), public_key.key_size // 8
    return power(block.rjust(size, b"\0"), numbers.e, numbers.n.to_bytes(size, "big"))


def pkcs1_block(content_key: bytes, size: int = 256, kind: int = 2) -> bytes:
    """EM = 0x00 || BT || PS || 0x00 || M."""
    filler = bytes(1 + octet % 255 for octet in os.urandom(size - 3 - len(content_key)))
    return bytes((0, kind)) + filler + b"\0" + content_key


class RememberingRsaKey(RsaDeviceKey):
    """A software key that decrypts the same block once: same block, same answer, by OpenSSL."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._software = key
        self._answers: dict[tuple[str, ...], bytes | ValueError] = {}

    @property
    def info(self) -> KeyInfo:
        return KeyInfo("test:", "test", None, "test", None, None, hardware=False, extractable=True)

    def close(self) -> None:
        pass

    def public_key(self) -> rsa.RSAPublicKey:
        return self._software.public_key()

    def _decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        return self._remembered(ciphertext, padding.PKCS1v15())

    def _decrypt_oaep(self, ciphertext: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm) -> bytes:
        return self._remembered(ciphertext, padding.OAEP(padding.MGF1(mgf), algorithm, None), algorithm.name, mgf.name)

    def _remembered(self, ciphertext: bytes, scheme: padding.PKCS1v15 | padding.OAEP, *names: str) -> bytes:
        asked = (ciphertext.hex(), *names)
        if asked not in self._answers:
            try:
                self._answers[asked] = self._software.decrypt(ciphertext, scheme)
            except ValueError as error:
                self._answers[asked] = error
        answer = self._answers[asked]
        if isinstance(answer, ValueError):
            raise ValueError(*answer.args)
        return answer

    def _sign_pkcs1(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        raise NotImplementedError

    def _sign_pss(
        self, digest: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt_bytes: int
    ) -> bytes:
        raise NotImplementedError


class TellingRsaKey(RsaDeviceKey):
    """An RSA key that says what was wrong and counts its operations, as hardware would."""

    def __init__(
        self, key: rsa.RSAPrivateKey, failure: Callable[[], Exception] = lambda: ValueError("padding")
    ) -> None:
        self._numbers = key.private_numbers()
        self._software = key
        self._failure = failure
        self._blocks: dict[bytes, bytes] = {}  # pow() takes 20 ms
        self.operations = 0

    @property
    def info(self) -> KeyInfo:
        return KeyInfo("test:", "test", None, "test", None, None, hardware=False, extractable=True)

    def close(self) -> None:
        pass

    def public_key(self) -> rsa.RSAPublicKey:
        return self._software.public_key()

    def _decrypt_pkcs1(self, ciphertext: bytes) -> bytes:
        self.operations += 1
        if ciphertext not in self._blocks:
            value = pow(int.from_bytes(ciphertext, "big"), self._numbers.d, self._numbers.public_numbers.n)
            self._blocks[ciphertext] = value.to_bytes(self.key_size // 8, "big")
        block = self._blocks[ciphertext]
        end = block.find(b"\0", 2)
        if block[:2] != b"\0\2" or end < 10:
            raise self._failure()
        return block[end + 1 :]

    def _decrypt_oaep(self, ciphertext: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm) -> bytes:
        self.operations += 1
        try:
            return self._software.decrypt(ciphertext, padding.OAEP(padding.MGF1(mgf), algorithm, None))
        except ValueError:
            raise self._failure() from None

    def _sign_pkcs1(self, digest: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        raise NotImplementedError

    def _sign_pss(
        self, digest: bytes, algorithm: hashes.HashAlgorithm, mgf: hashes.HashAlgorithm, salt_bytes: int
    ) -> bytes:
        raise NotImplementedError
