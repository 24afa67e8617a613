"""Going over a spooled ciphertext: once to see whether a content key is the right one, once more for the plaintext."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.poly1305 import Poly1305

from device_sdk.model.held_key import HeldKey
from device_sdk.wire.cms.content import MIN_TAG_BYTES, EncryptedContent

_CHUNK_BYTES = 64 * 1024
_BLOCK = 16


class Spool(Protocol):
    """A file for bytes, as `tempfile.TemporaryFile` gives one."""

    def write(self, data: bytes, /) -> object:
        """Append all of it."""

    def seek(self, offset: int, /) -> object:
        """Go to a place, counted from the start."""

    def read(self, size: int, /) -> bytes:
        """At most this many bytes; none at the end."""


def spooled(spool: Spool, end: int, start: int = 0) -> Iterator[bytes]:
    """What is in the spool between two places; ValueError if it is not all there."""
    spool.seek(start)
    left = end - start
    while left:
        piece = spool.read(min(left, _CHUNK_BYTES))
        if not piece:
            raise ValueError("the spool is shorter than it was")
        left -= len(piece)
        yield piece


def verifies(content: EncryptedContent, key: bytes, spool: Spool, length: int) -> bool:
    """Whether the spooled ciphertext decrypts with a key: its tag is good, or its padding."""
    try:
        if content.cipher.mode == "cbc":
            _check_padding(content, key, spool, length)
        else:
            for _ in plaintext_of(content, key, spooled(spool, length)):
                pass
    except ValueError:
        return False
    return True


def plaintext_of(content: EncryptedContent, key: bytes | HeldKey, ciphertext: Iterable[bytes]) -> Iterator[bytes]:
    """The plaintext in pieces; ValueError at its end if the tag or the padding is bad.

    Raises:
        KeyStoreError: as it goes on: the token or TPM that holds the key could not be used, or may not use it so.
    """
    if isinstance(key, HeldKey):
        return _held_cbc(content, key, ciphertext)
    if content.cipher.mode == "chacha":
        return _chacha20_poly1305(content, key, ciphertext)
    return _aes(content, key, ciphertext)


def _check_padding(content: EncryptedContent, key: bytes, spool: Spool, length: int) -> None:
    """The last block shows it, and the one before is all it takes to decrypt that."""
    tail = b"".join(spooled(spool, length, max(0, length - 2 * _BLOCK)))
    vector = tail[:-_BLOCK] or content.iv
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    unpadder = PKCS7(8 * _BLOCK).unpadder()
    unpadder.update(decryptor.update(tail[-_BLOCK:]) + decryptor.finalize())
    unpadder.finalize()


def _aes(content: EncryptedContent, key: bytes, ciphertext: Iterable[bytes]) -> Iterator[bytes]:
    if content.cipher.mode == "gcm":
        mode = modes.GCM(content.iv, content.tag, min_tag_length=MIN_TAG_BYTES)
        decryptor = Cipher(algorithms.AES(key), mode).decryptor()
        decryptor.authenticate_additional_data(content.additional)
        yield from (decryptor.update(piece) for piece in ciphertext)
        yield _finished(decryptor)
        return
    plain = Cipher(algorithms.AES(key), modes.CBC(content.iv)).decryptor()
    unpadder = PKCS7(8 * _BLOCK).unpadder()
    yield from (unpadder.update(plain.update(piece)) for piece in ciphertext)
    yield unpadder.update(plain.finalize()) + unpadder.finalize()


def _held_cbc(content: EncryptedContent, key: HeldKey, ciphertext: Iterable[bytes]) -> Iterator[bytes]:
    """CBC by a token or TPM: every piece on its own, as the block before it is all that the next one needs."""
    vector, rest, unpadder = content.iv, b"", PKCS7(8 * _BLOCK).unpadder()
    for piece in ciphertext:
        data = rest + piece
        whole = len(data) - len(data) % _BLOCK
        blocks, rest = data[:whole], data[whole:]
        if blocks:
            yield unpadder.update(key.decrypt_cbc(vector, blocks))
            vector = blocks[-_BLOCK:]
    if rest:
        raise ValueError("not whole blocks")
    yield unpadder.finalize()


def _finished(decryptor: CipherContext) -> bytes:
    try:
        return decryptor.finalize()
    except InvalidTag:
        raise ValueError("a bad tag") from None


def _chacha20_poly1305(content: EncryptedContent, key: bytes, ciphertext: Iterable[bytes]) -> Iterator[bytes]:
    """RFC 8439 section 2.8, put together from its parts: the library's own takes everything at once."""
    one_time = Cipher(algorithms.ChaCha20(key, bytes(4) + content.iv), None).encryptor().update(bytes(32))
    tag = Poly1305(one_time)
    tag.update(content.additional + bytes(-len(content.additional) % _BLOCK))
    decryptor = Cipher(algorithms.ChaCha20(key, b"\1\0\0\0" + content.iv), None).decryptor()
    length = 0
    for piece in ciphertext:
        tag.update(piece)
        length += len(piece)
        yield decryptor.update(piece)
    lengths = len(content.additional).to_bytes(8, "little") + length.to_bytes(8, "little")
    tag.update(bytes(-length % _BLOCK) + lengths)
    try:
        tag.verify(content.tag)
    except InvalidSignature:
        raise ValueError("a bad tag") from None
