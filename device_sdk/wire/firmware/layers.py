"""What may lie between a signature and the firmware: EncryptedData and CompressedData (RFC 4108 sections 2.1.3 and 2.1.4)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

from device_sdk.model.decryption import AEAD_CONTENTS, EVERYTHING, PADDED_WRAPS, DecryptionPolicy
from device_sdk.model.held_key import HeldKey
from device_sdk.model.shared_key import SharedKey
from device_sdk.wire.cms.ber_stream import Scope
from device_sdk.wire.cms.content import EncryptedContent
from device_sdk.wire.cms.oids import CIPHERS, ContentCipher
from device_sdk.wire.cms.passes import plaintext_of
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE, SET, Reader
from device_sdk.wire.cms.recipients import OpeningKey, read_recipients
from device_sdk.wire.firmware import oids
from device_sdk.wire.firmware.codes import LoadErrorCode, refused, refusing
from device_sdk.wire.firmware.signers import element_of
from device_sdk.wire.firmware.verification import FirmwarePackage

_CHUNK_BYTES = 64 * 1024
_EXPLICIT_0, _CONTENT, _CONSTRUCTED = 0xA0, 0x80, 0x20
_ORIGINATOR = 0xA0
_UNPROTECTED = 0xA1
# PKCS#1 v1.5 would let an unsigned attribute ask a key the questions of an oracle (AMB-21)
_POLICY = DecryptionPolicy((*PADDED_WRAPS, *EVERYTHING.without((*AEAD_CONTENTS, "rsa-pkcs1")).algorithms))


def inflated(data: Scope, limit_bytes: int) -> Iterator[bytes]:
    """What a CompressedData holds, at most so many bytes (RFC 3274).

    Args:
        data: inside its SEQUENCE.
        limit_bytes: the largest acceptable content.

    Raises:
        FirmwareError: as the iteration reaches it: another version or algorithm, no firmware inside, or it does not inflate.
    """
    if element_of(data).integer() != 0:
        raise refused(LoadErrorCode.DECODE_FAILURE, "a CompressedData of another version")
    algorithm = element_of(data).enter()
    if algorithm.oid() != oids.ZLIB or algorithm.next_tag not in (None, 0x05):
        raise refused(LoadErrorCode.BAD_COMPRESS_ALGORITHM, "compressed with something else than zlib")
    encap = data.enter(SEQUENCE)
    if element_of(encap).oid() != oids.FIRMWARE_PACKAGE:
        raise refused(LoadErrorCode.BAD_ENCAP_CONTENT, "what is compressed is no firmware")
    if encap.next_tag is None:
        raise refused(LoadErrorCode.MISSING_COMPRESSED_CONTENT, "there is no compressed content")
    content = encap.enter(_EXPLICIT_0)
    yield from _inflated(content.pieces(OCTET_STRING), limit_bytes)
    for scope in (content, encap, data):
        scope.leave()


def _inflated(pieces: Iterator[bytes], limit_bytes: int) -> Iterator[bytes]:
    inflater, size = zlib.decompressobj(), 0
    for piece in pieces:
        if inflater.eof:
            raise refused(LoadErrorCode.DECOMPRESS_FAILURE, "something behind the compressed content")
        rest, full = piece, True
        while (rest or full) and not inflater.eof:
            found = _step(inflater, rest)
            rest, full = inflater.unconsumed_tail, len(found) == _CHUNK_BYTES
            size += len(found)
            if size > limit_bytes:
                raise refused(LoadErrorCode.INSUFFICIENT_MEMORY, f"the firmware is larger than {limit_bytes} bytes")
            if found:
                yield found
    if not inflater.eof or inflater.unused_data:
        raise refused(LoadErrorCode.DECOMPRESS_FAILURE, "the compressed content breaks off, or something is behind it")


def _step(inflater: zlib._Decompress, data: bytes) -> bytes:
    try:
        return inflater.decompress(data, _CHUNK_BYTES)
    except zlib.error as error:
        raise refused(LoadErrorCode.DECOMPRESS_FAILURE, "the compressed content cannot be inflated") from error


def decrypted(data: Scope, package: FirmwarePackage, keys: Sequence[OpeningKey]) -> tuple[str, Iterator[bytes]]:
    """Content type and plaintext of an EncryptedData.

    Args:
        data: inside its SEQUENCE.
        package: names the key.
        keys: what may open it.

    Raises:
        FirmwareError: not what RFC 4108 section 2.1.3 says, or no key opens it; the plaintext ends with it if it is bad.
        KeyStoreError: the token or TPM could not be used.
    """
    with refusing(LoadErrorCode.BAD_ENCRYPTED_DATA, "its EncryptedData"):
        if element_of(data).integer() != 0:
            raise ValueError("another version")
        info = data.enter(SEQUENCE)
        described = [info.element(), info.element()]
        kind = Reader(described[0]).oid()
    if kind not in (oids.FIRMWARE_PACKAGE, oids.COMPRESSED_DATA):
        raise refused(LoadErrorCode.BAD_ENCRYPT_CONTENT, f"encrypted content of type {kind}")
    cipher, vector = _read_cipher(described[1])
    if info.next_tag not in (_CONTENT, _CONTENT | _CONSTRUCTED):
        raise refused(LoadErrorCode.MISSING_CIPHERTEXT, "there is no ciphertext")
    key = _key_for(package, keys, cipher, b"".join(described))
    return kind, _plaintext(data, info, EncryptedContent(cipher, vector, b""), key)


def _plaintext(data: Scope, info: Scope, content: EncryptedContent, key: bytes | HeldKey) -> Iterator[bytes]:
    try:
        yield from plaintext_of(content, key, info.pieces(_CONTENT))
    except ValueError:
        good = False
    else:
        good = True
    if not good:
        raise refused(LoadErrorCode.DECRYPT_FAILURE, "it cannot be decrypted")
    info.leave()
    if data.next_tag == _UNPROTECTED:
        raise refused(LoadErrorCode.UNPROTECTED_ATTRS_PRESENT, "it has attributes that nothing protects")
    data.leave()


def _read_cipher(encoded: bytes) -> tuple[ContentCipher, bytes]:
    with refusing(LoadErrorCode.BAD_ENCRYPT_ALGORITHM, "its cipher"):
        algorithm = Reader(encoded).enter()
        cipher = CIPHERS[algorithm.oid()]
        vector = algorithm.octets()
        algorithm.finish()
        if cipher.mode != "cbc" or len(vector) != 16:
            raise ValueError("not AES in CBC")
    return cipher, vector


def _key_for(
    package: FirmwarePackage, keys: Sequence[OpeningKey], cipher: ContentCipher, described: bytes
) -> bytes | HeldKey:
    """The key the package names, if we have it; else the one that comes with it, wrapped for a key of ours."""
    wanted = package.attributes.decrypt_key if package.attributes else None
    for key in keys:
        if isinstance(key, SharedKey | HeldKey) and key.identifier == wanted and key.key_bytes == cipher.key_bytes:
            return key if isinstance(key, HeldKey) else key.key.reveal()
    found = _unwrapped(package.wrapped_key, keys, cipher, described) if package.wrapped_key else None
    if found is None:
        raise refused(
            LoadErrorCode.NO_DECRYPT_KEY, "no key of this device decrypts it", hint="give the key (--decrypt-key)"
        )
    return found


def _unwrapped(wrapped: bytes, keys: Sequence[OpeningKey], cipher: ContentCipher, described: bytes) -> bytes | None:
    """RFC 4108 section 2.3.1: an EnvelopedData without content, and of the very same type and algorithm."""
    with refusing(LoadErrorCode.BAD_UNSIGNED_ATTRS, "its wrapped key"):
        data = Reader(wrapped).enter()
        data.integer()
        data.skip(_ORIGINATOR)
        recipients = read_recipients(data.enter(SET), _POLICY)
        if data.contents(SEQUENCE) != described:
            raise ValueError("for another content or algorithm than the encrypted content has")
        data.finish()
    for key in keys:
        if recipients.too_many_for(key):
            raise refused(LoadErrorCode.NO_DECRYPT_KEY, "too many recipients")
        for candidate in recipients.content_keys(key, cipher.key_bytes):
            if candidate.real:
                return candidate.value
    return None
