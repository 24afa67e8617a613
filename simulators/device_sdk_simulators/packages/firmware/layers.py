"""The layers a firmware package is made of, each from one file into another (RFC 3274, RFC 5652, RFC 4108 section 2.1)."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc3274, rfc5280, rfc5652

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import digest_for
from device_sdk_simulators.packages.firmware.frames import EXPLICIT_0, OCTET_STRING, SEQUENCE, chunks, framed
from device_sdk_simulators.packages.firmware.notes import attribute

_AES_CBC = {16: "2.16.840.1.101.3.4.1.2", 32: "2.16.840.1.101.3.4.1.42"}
_HASHES = {256: "2.16.840.1.101.3.4.2.1", 384: "2.16.840.1.101.3.4.2.2", 512: "2.16.840.1.101.3.4.2.3"}
_ECDSA = {256: "1.2.840.10045.4.3.2", 384: "1.2.840.10045.4.3.3", 512: "1.2.840.10045.4.3.4"}
_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
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


@dataclass(frozen=True)
class Oddities:
    """What may be wrong with a SignedData, for those who have to refuse it.

    Attributes:
        signers: how often its SignerInfo is there.
        signed_type: content type that is signed, if it is another one.
    """

    signers: int = 1
    signed_type: str = ""


PLAIN = Oddities()


def digest_of(content: BinaryIO, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    """Hash of a file; SHA-256 if not said otherwise."""
    hasher = hashes.Hash(algorithm or hashes.SHA256())
    for piece in chunks(content):
        hasher.update(piece)
    return hasher.finalize()


def compress(content: BinaryIO, out: BinaryIO, temporary: BinaryIO) -> None:
    """A CompressedData without ContentInfo."""
    squeezer = zlib.compressobj(6)
    for piece in chunks(content):
        temporary.write(squeezer.compress(piece))
    temporary.write(squeezer.flush())
    algorithm = rfc5280.AlgorithmIdentifier()
    algorithm["algorithm"] = rfc3274.id_alg_zlibCompress
    before = bytes(encode(univ.Integer(0))) + bytes(encode(algorithm))
    framed(out, temporary, [*_encapsulated("1.2.840.113549.1.9.16.1.16"), (SEQUENCE, before, b"")])


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
    framed(out, content, _around(frames, kind))


def sign(
    content: BinaryIO,
    out: BinaryIO,
    content_type: str,
    signer: Authority,
    attributes: Sequence[rfc5652.Attribute],
    *,
    certificates: Sequence[x509.Certificate] = (),
    unsigned: Sequence[rfc5652.Attribute] = (),
    odd: Oddities = PLAIN,
) -> None:
    """A SignedData in a ContentInfo, with one SignerInfo named by its key identifier.

    Args:
        content: what is signed.
        out: where it goes.
        content_type: of the content.
        signer: who signs.
        attributes: beside content type and digest.
        certificates: go along.
        unsigned: unsigned attributes.
        odd: what is wrong with it.
    """
    algorithm = digest_for(signer.key)
    info = _signer_info(signer, digest_of(content, algorithm), odd.signed_type or content_type, attributes)
    for position, one in enumerate(unsigned):
        info["unsignedAttrs"][position] = one
    signers = univ.SetOf(componentType=rfc5652.SignerInfo())
    signers.extend([info] * odd.signers)
    before = bytes(encode(univ.Integer(3))) + _digest_algorithms(algorithm)
    behind = _certificates(certificates) + bytes(encode(signers))
    frames = [*_encapsulated(content_type), (SEQUENCE, before, behind)]
    framed(out, content, _around(frames, bytes(encode(rfc5652.id_signedData))))


def _signer_info(
    signer: Authority, digest: bytes, content_type: str, attributes: Sequence[rfc5652.Attribute]
) -> rfc5652.SignerInfo:
    algorithm = digest_for(signer.key)
    size = algorithm.digest_size * 8
    info = rfc5652.SignerInfo()
    info["version"] = 3
    identifier = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    info["sid"]["subjectKeyIdentifier"] = identifier
    info["digestAlgorithm"]["algorithm"] = _HASHES[size]
    own = (
        attribute(rfc5652.id_contentType, univ.ObjectIdentifier(content_type)),
        attribute(rfc5652.id_messageDigest, univ.OctetString(digest)),
    )
    for position, one in enumerate((*own, *attributes)):
        info["signedAttrs"][position] = one
    # the signature is over a SET OF, not over the [0] of the message
    signed = b"\x31" + bytes(encode(info["signedAttrs"]))[1:]
    if isinstance(signer.key, rsa.RSAPrivateKey):
        info["signatureAlgorithm"]["algorithm"] = _RSA_ENCRYPTION
        info["signatureAlgorithm"]["parameters"] = encode(univ.Null(""))
        info["signature"] = signer.key.sign(signed, PKCS1v15(), algorithm)
    else:
        info["signatureAlgorithm"]["algorithm"] = _ECDSA[size]
        info["signature"] = signer.key.sign(signed, ec.ECDSA(algorithm))
    return info


def _digest_algorithms(algorithm: hashes.HashAlgorithm) -> bytes:
    found = rfc5652.DigestAlgorithmIdentifiers()
    found[0]["algorithm"] = _HASHES[algorithm.digest_size * 8]
    return bytes(encode(found))


def _certificates(certificates: Sequence[x509.Certificate]) -> bytes:
    if not certificates:
        return b""
    found = rfc5652.CertificateSet()
    for position, one in enumerate(certificates):
        found[position]["certificate"] = decode(one.public_bytes(Encoding.DER), asn1Spec=rfc5280.Certificate())[0]
    return b"\xa0" + bytes(encode(found))[1:]


def _encapsulated(content_type: str) -> list[tuple[int, bytes, bytes]]:
    kind = bytes(encode(univ.ObjectIdentifier(content_type)))
    return [(OCTET_STRING, b"", b""), (EXPLICIT_0, b"", b""), (SEQUENCE, kind, b"")]


def _around(frames: list[tuple[int, bytes, bytes]], kind: bytes) -> list[tuple[int, bytes, bytes]]:
    return [*frames, (EXPLICIT_0, b"", b""), (SEQUENCE, kind, b"")]
