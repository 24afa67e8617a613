"""The layers a firmware package is made of, each from one file into another (RFC 3274, RFC 5652, RFC 4108 section 2.1)."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc3274, rfc5280, rfc5652

from device_sdk_simulators.packages.frames import OCTET_STRING, SEQUENCE, around, chunks, encapsulated, framed

_AES_CBC = {16: "2.16.840.1.101.3.4.1.2", 32: "2.16.840.1.101.3.4.1.42"}
_ENCRYPTED_CONTENT = 0x80


@dataclass(frozen=True)
class ContentKey:
    """What an EncryptedData is made with; both can be given for a test.

    Attributes:
        value: an AES key, 16 or 32 bytes.
        vector: 16 bytes.
    """

    value: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    vector: bytes = field(default_factory=lambda: os.urandom(16))

    def algorithm(self) -> rfc5652.ContentEncryptionAlgorithmIdentifier:
        """As ASN.1."""
        found = rfc5652.ContentEncryptionAlgorithmIdentifier()
        found["algorithm"] = _AES_CBC[len(self.value)]
        found["parameters"] = encode(univ.OctetString(self.vector))
        return found


def compress(content: BinaryIO, out: BinaryIO, temporary: BinaryIO) -> None:
    """A CompressedData without ContentInfo."""
    squeezer = zlib.compressobj(6)
    for piece in chunks(content):
        temporary.write(squeezer.compress(piece))
    temporary.write(squeezer.flush())
    algorithm = rfc5280.AlgorithmIdentifier()
    algorithm["algorithm"] = rfc3274.id_alg_zlibCompress
    before = bytes(encode(univ.Integer(0))) + bytes(encode(algorithm))
    framed(out, temporary, [*encapsulated("1.2.840.113549.1.9.16.1.16"), (SEQUENCE, before, b"")])


def encrypt(
    content: BinaryIO,
    out: BinaryIO,
    temporary: BinaryIO,
    key: ContentKey,
    content_type: str,
    *,
    behind: bytes = b"",
    version: int = 0,
) -> None:
    """An EncryptedData without ContentInfo.

    Args:
        content: what is encrypted.
        out: where it goes.
        temporary: an empty file.
        key: with what.
        content_type: of the content.
        behind: DER of unprotected attributes, which there must not be.
        version: 0 is right.
    """
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key.value), modes.CBC(key.vector)).encryptor()
    for piece in chunks(content):
        temporary.write(encryptor.update(padder.update(piece)))
    temporary.write(encryptor.update(padder.finalize()) + encryptor.finalize())
    described = bytes(encode(univ.ObjectIdentifier(content_type))) + bytes(encode(key.algorithm()))
    frames = [(_ENCRYPTED_CONTENT, b"", b""), (SEQUENCE, described, b"")]
    framed(out, temporary, [*frames, (SEQUENCE, bytes(encode(univ.Integer(version))), behind)])


def content_info(content: BinaryIO, out: BinaryIO, content_type: str) -> None:
    """A ContentInfo around a layer, or around firmware itself."""
    firmware = content_type == "1.2.840.113549.1.9.16.1.16"
    frames = [(OCTET_STRING, b"", b"")] if firmware else []
    kind = bytes(encode(univ.ObjectIdentifier(content_type)))
    framed(out, content, around(frames, kind))
