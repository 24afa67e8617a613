"""The encrypted content of a message: AES-CBC in EnvelopedData, AES-GCM in AuthEnvelopedData."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from device_sdk.wire.cms import oids
from device_sdk.wire.cms.definite import encode_element
from device_sdk.wire.cms.reader import SET, Reader

_CONTENT = 0x80  # [0] IMPLICIT OCTET STRING
_AUTHENTICATED_ATTRIBUTES = 0xA1
_MIN_TAG_BYTES = _DEFAULT_TAG_BYTES = 12


@dataclass(frozen=True)
class EncryptedContent:
    """The content, still encrypted.

    Attributes:
        cipher: mode and key length.
        iv: 16 bytes for CBC; the nonce for GCM.
        ciphertext: whole blocks, at least one, for CBC.
        tag: GCM's, 12 to 16 bytes; empty for CBC.
        additional: what GCM authenticates beside the content: DER of authAttrs, or nothing.
    """

    cipher: oids.ContentCipher
    iv: bytes
    ciphertext: bytes = field(repr=False)
    tag: bytes = b""
    additional: bytes = field(default=b"", repr=False)

    def decrypt(self, key: bytes) -> bytes | None:
        """The plaintext; None for a bad tag or bad padding. `key` has the cipher's length."""
        return self._decrypt_gcm(key) if self.cipher.mode == "gcm" else self._decrypt_cbc(key)

    def _decrypt_cbc(self, key: bytes) -> bytes | None:
        decryptor = Cipher(algorithms.AES(key), modes.CBC(self.iv)).decryptor()
        unpadder = PKCS7(128).unpadder()
        padded = decryptor.update(self.ciphertext) + decryptor.finalize()
        try:
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            return None

    def _decrypt_gcm(self, key: bytes) -> bytes | None:
        mode = modes.GCM(self.iv, self.tag, min_tag_length=_MIN_TAG_BYTES)
        decryptor = Cipher(algorithms.AES(key), mode).decryptor()
        decryptor.authenticate_additional_data(self.additional)
        try:
            return decryptor.update(self.ciphertext) + decryptor.finalize()
        except InvalidTag:
            return None


def read_cbc(data: Reader, content_types: Collection[str]) -> EncryptedContent:
    """The EncryptedContentInfo of an EnvelopedData (RFC 5652 section 6.1, RFC 3565).

    Args:
        data: standing before it.
        content_types: what may be inside, dotted.

    Raises:
        ValueError: unreadable, content of another type, or no whole blocks.
        KeyError: a cipher that is not supported.
    """
    cipher, parameters, ciphertext = _read(data.enter(), "cbc", content_types)
    iv = parameters.octets()
    parameters.finish()
    if len(iv) != 16 or not ciphertext or len(ciphertext) % 16:
        raise ValueError("not whole blocks")
    return EncryptedContent(cipher, iv, ciphertext)


def read_gcm(data: Reader, content_types: Collection[str]) -> EncryptedContent:
    """The EncryptedContentInfo, authAttrs and mac of an AuthEnvelopedData (RFC 5083, RFC 5084 section 3.2).

    Args:
        data: standing before them.
        content_types: what may be inside, dotted.

    Raises:
        ValueError: unreadable, content of another type, or parameters that do not fit.
        KeyError: a cipher that is not supported.
    """
    cipher, parameters, ciphertext = _read(data.enter(), "gcm", content_types)
    gcm = parameters.enter()
    nonce = gcm.octets()
    tag_bytes = gcm.integer() if gcm.next_tag is not None else _DEFAULT_TAG_BYTES
    gcm.finish()
    # RFC 5083 section 2.2: authenticated is the SET OF with its universal tag, not the [1] of the message.
    additional = encode_element(SET, data.contents()) if data.next_tag == _AUTHENTICATED_ATTRIBUTES else b""
    tag = data.octets()
    # "It MUST match the size in octets of the value in the AuthEnvelopedData mac field."
    if tag_bytes != len(tag) or not _MIN_TAG_BYTES <= tag_bytes <= 16 or not 8 <= len(nonce) <= 64:
        raise ValueError("GCM parameters that do not fit")
    return EncryptedContent(cipher, nonce, ciphertext, tag, additional)


def _read(info: Reader, mode: str, content_types: Collection[str]) -> tuple[oids.ContentCipher, Reader, bytes]:
    """Cipher, its parameters, ciphertext."""
    if info.oid() not in content_types:
        raise ValueError("content of another type")
    algorithm = info.enter()
    cipher = oids.CIPHERS[algorithm.oid()]
    ciphertext = info.octets(_CONTENT)
    info.finish()
    if cipher.mode != mode:
        raise ValueError("a cipher of the other kind of message")
    return cipher, algorithm, ciphertext
