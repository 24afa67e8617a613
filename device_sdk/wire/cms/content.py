"""The encrypted content of a message: AES-CBC and AES key wrap with padding in EnvelopedData; AES-GCM, AES-CCM, ChaCha20-Poly1305 in AuthEnvelopedData."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.padding import PKCS7

from device_sdk.model.held_key import HeldKey
from device_sdk.model.wiping import passing
from device_sdk.wire.binary_http import BINARY_HTTP
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.definite import encode_element
from device_sdk.wire.cms.reader import SEQUENCE, SET, Reader
from device_sdk.wire.cms.wrapping import KeyWrap

MIN_TAG_BYTES = _DEFAULT_TAG_BYTES = 12
_FULL_TAG_BYTES = 16

_CONTENT_TYPE_ATTRIBUTE = "1.2.840.113549.1.9.3"
_CONTENT = 0x80  # [0] IMPLICIT OCTET STRING
_AUTHENTICATED_ATTRIBUTES, _UNAUTHENTICATED_ATTRIBUTES = 0xA1, 0xA2
_TAG_BYTES = {"gcm": (12, 13, 14, 15, 16), "ccm": (12, 14, 16), "chacha": (16,)}
_NONCE_BYTES = {"gcm": range(8, 65), "ccm": range(7, 14), "chacha": range(12, 13)}


_BLOCK = 16


@dataclass(frozen=True)
class Decrypted:
    """What a content key made of a ciphertext.

    Attributes:
        octets: the plaintext; if its padding is bad, all but the last octet, which is what a padding that is sound by
            chance most often leaves.
        sound: whether the padding is.
    """

    octets: bytes = field(repr=False)
    sound: bool


@dataclass(frozen=True)
class EncryptedContent:
    """The content, still encrypted.

    Attributes:
        cipher: name, mode and key length.
        iv: 16 bytes for CBC; empty for key wrap; else the nonce.
        ciphertext: whole blocks, at least one, for CBC; empty if it is kept elsewhere.
        tag: 12 to 16 bytes; empty for CBC and key wrap.
        additional: what is authenticated beside the content: DER of authAttrs, or nothing.
        content_type: of what is inside, dotted.
    """

    cipher: oids.ContentCipher
    iv: bytes
    ciphertext: bytes = field(repr=False)
    tag: bytes = b""
    additional: bytes = field(default=b"", repr=False)
    content_type: str = ""

    def decrypt(self, key: bytes | HeldKey) -> bytes | None:
        """The plaintext; None for a bad tag or bad padding. `key` has the cipher's length.

        Raises:
            KeyStoreError: the token or TPM that holds the key could not be used, or may not use it so.
            ValueError: a key in a token or TPM, which does CBC and key wrap only.
        """
        found = self.decrypt_anyhow(key)
        return found.octets if found is not None and found.sound else None

    def decrypt_anyhow(self, key: bytes | HeldKey) -> Decrypted | None:
        """The same, with what a bad padding leaves; None where content is authenticated, and not authentic.

        Raises:
            KeyStoreError, ValueError: as decrypt.
        """
        if isinstance(key, HeldKey):
            return self._decrypt_held(key)
        if self.cipher.mode == "cbc":
            decryptor = Cipher(algorithms.AES(key), modes.CBC(self.iv)).decryptor()
            return _without_padding(passing(decryptor.update(self.ciphertext) + decryptor.finalize()))
        if self.cipher.mode == "kwp":
            return _authentic(KeyWrap(len(key), padded=True).unwrap(key, self.ciphertext))
        try:
            return _authentic(passing(self._decrypt_authenticated(key)))
        except InvalidTag:
            return None

    def _decrypt_held(self, key: HeldKey) -> Decrypted | None:
        if self.cipher.mode == "kwp":
            return _authentic(passing(key.unwrap(self.ciphertext, padded=True)))
        if self.cipher.mode != "cbc":
            raise ValueError("not a cipher of content that a shared key encrypts")
        return _without_padding(passing(key.decrypt_cbc(self.iv, self.ciphertext)))

    def _decrypt_authenticated(self, key: bytes) -> bytes:
        if self.cipher.mode == "chacha":
            return ChaCha20Poly1305(key).decrypt(self.iv, self.ciphertext + self.tag, self.additional)
        if self.cipher.mode == "ccm":
            return AESCCM(key, len(self.tag)).decrypt(self.iv, self.ciphertext + self.tag, self.additional)
        if len(self.tag) == _FULL_TAG_BYTES:
            return AESGCM(key).decrypt(self.iv, self.ciphertext + self.tag, self.additional)
        mode = modes.GCM(self.iv, self.tag, min_tag_length=MIN_TAG_BYTES)
        decryptor = Cipher(algorithms.AES(key), mode).decryptor()
        decryptor.authenticate_additional_data(self.additional)
        return decryptor.update(self.ciphertext) + decryptor.finalize()


def encrypt_cbc(key: bytes, vector: bytes, content: bytes) -> bytes:
    """AES-CBC with the padding of RFC 5652 section 6.3.

    Args:
        key: 16, 24 or 32 bytes.
        vector: 16 bytes that nobody can foretell.
        content: of any length.
    """
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    return encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()


def _authentic(plaintext: bytes | None) -> Decrypted | None:
    return None if plaintext is None else Decrypted(plaintext, True)


def _without_padding(padded: bytes) -> Decrypted:
    """The same steps for every padding: the library's takes an exception's time longer for a bad one (CALE-10)."""
    size = padded[-1]
    sound = (1 <= size <= _BLOCK) & padded.endswith(padded[-1:] * size)
    return Decrypted(passing(padded[: -size if sound else -1]), sound)


def read_cbc(data: Reader, content_types: Collection[str], *, elsewhere: int | None = None) -> EncryptedContent:
    """The EncryptedContentInfo of an EnvelopedData or EncryptedData (RFC 5652 section 6.1, RFC 3565, RFC 6160).

    Args:
        data: standing before it.
        content_types: what may be inside, dotted.
        elsewhere: length of a ciphertext that is kept elsewhere; the one in the message is empty then.

    Raises:
        ValueError: unreadable, content of another type, or no whole blocks.
        KeyError: a cipher that is not supported.
    """
    content_type, cipher, parameters, ciphertext = _read(data.enter(), content_types)
    if content_type == BINARY_HTTP:
        # its head can be foretold, so that who changes the IV makes it another status, of a content as long as he likes
        raise ValueError("a type that nothing authenticates")
    if cipher.mode == "kwp" and elsewhere is None:
        parameters.finish()  # RFC 6160 section 3: absent
        return EncryptedContent(cipher, b"", ciphertext, content_type=content_type)
    if cipher.mode != "cbc":
        raise ValueError("a cipher of the other kind of message")
    iv = parameters.octets()
    parameters.finish()
    length = len(ciphertext) if elsewhere is None else elsewhere
    if len(iv) != 16 or not length or length % 16:
        raise ValueError("not whole blocks")
    return EncryptedContent(cipher, iv, ciphertext, content_type=content_type)


def read_authenticated(
    data: Reader, content_types: Collection[str], *, elsewhere: int | None = None
) -> EncryptedContent:
    """The EncryptedContentInfo, authAttrs and mac of an AuthEnvelopedData (RFC 5083, RFC 5084, RFC 8103).

    Args:
        data: standing before them.
        content_types: what may be inside, dotted.
        elsewhere: as for read_cbc.

    Raises:
        ValueError: unreadable, content of another type, or parameters that do not fit.
        KeyError: a cipher that is not supported.
    """
    content_type, cipher, parameters, ciphertext = _read(data.enter(), content_types)
    if cipher.mode in ("cbc", "kwp"):
        raise ValueError("a cipher of the other kind of message")
    nonce, tag_bytes = _read_parameters(parameters, cipher.mode)
    # RFC 5083 section 2.2: authenticated is the SET OF with its universal tag, not the [1] of the message.
    additional = b""
    if data.next_tag == _AUTHENTICATED_ATTRIBUTES:
        attributes = data.contents()
        _check_type(Reader(attributes), content_type)
        additional = encode_element(SET, attributes)
    elif content_type == BINARY_HTTP:
        # RFC 5083 section 2.1 wants that of every type but data; writers of key packages leave it out
        raise ValueError("a type that nothing authenticates")
    tag = data.octets()
    data.skip(_UNAUTHENTICATED_ATTRIBUTES)
    data.finish()
    # "It MUST match the size in octets of the value in the AuthEnvelopedData mac field."
    if tag_bytes != len(tag) or tag_bytes not in _TAG_BYTES[cipher.mode] or len(nonce) not in _NONCE_BYTES[cipher.mode]:
        raise ValueError("parameters that do not fit")
    # The longer CCM's nonce, the shorter its counter (RFC 3610 section 2).
    length = len(ciphertext) if elsewhere is None else elsewhere
    if cipher.mode == "ccm" and length >> 8 * (15 - len(nonce)):
        raise ValueError("more content than the nonce leaves room for")
    return EncryptedContent(cipher, nonce, ciphertext, tag, additional, content_type)


def _check_type(attributes: Reader, content_type: str) -> None:
    """The type that is authenticated has to be the one beside the ciphertext, which is not (RFC 5652 section 11.1)."""
    while attributes.next_tag is not None:
        attribute = attributes.enter()
        if attribute.oid() == _CONTENT_TYPE_ATTRIBUTE and attribute.enter(SET).oid() != content_type:
            raise ValueError("content of another type than was authenticated")


def _read_parameters(parameters: Reader, mode: str) -> tuple[bytes, int]:
    """Nonce and length of the tag: GCMParameters and CCMParameters are alike, RFC 8103 has the bare nonce."""
    if mode == "chacha":
        nonce = parameters.octets()
        parameters.finish()
        return nonce, 16
    inner = parameters.enter(SEQUENCE)
    nonce = inner.octets()
    tag_bytes = inner.integer() if inner.next_tag is not None else _DEFAULT_TAG_BYTES
    inner.finish()
    parameters.finish()
    return nonce, tag_bytes


def _read(info: Reader, content_types: Collection[str]) -> tuple[str, oids.ContentCipher, Reader, bytes]:
    """Content type, cipher, its parameters, ciphertext."""
    content_type = info.oid()
    if content_type not in content_types:
        raise ValueError("content of another type")
    algorithm = info.enter()
    cipher = oids.CIPHERS[algorithm.oid()]
    ciphertext = info.octets(_CONTENT)
    info.finish()
    return content_type, cipher, algorithm, ciphertext
