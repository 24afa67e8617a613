"""A SignedData with one signer, who is named by a key identifier (RFC 4108, RFC 5934), or by issuer and serial number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5280, rfc5652

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import digest_for
from device_sdk_simulators.packages.frames import SEQUENCE, around, chunks, encapsulated, framed

_HASHES = {256: "2.16.840.1.101.3.4.2.1", 384: "2.16.840.1.101.3.4.2.2", 512: "2.16.840.1.101.3.4.2.3"}
_ECDSA = {256: "1.2.840.10045.4.3.2", 384: "1.2.840.10045.4.3.3", 512: "1.2.840.10045.4.3.4"}
_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"


@dataclass(frozen=True)
class Oddities:
    """What may be wrong with a SignedData, for those who have to refuse it.

    Attributes:
        signers: how often its SignerInfo is there; 0 for nobody.
        signed_type: content type that is signed, if it is another one.
        version: of the SignedData.
        signer_version: of the SignerInfo.
        broken: one bit of the signature is wrong.
        wrong_digest: the digest that is signed is that of something else.
        without: object identifiers of signed attributes that are missing.
        repeated: of those that are there twice.
        by_issuer: the signer is named by issuer and serial number.
        digests: how many digest algorithms the SignedData lists.
    """

    signers: int = 1
    signed_type: str = ""
    version: int = 3
    signer_version: int = 3
    broken: bool = False
    wrong_digest: bool = False
    without: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    by_issuer: bool = False
    digests: int = 1


PLAIN = Oddities()
BY_ISSUER = Oddities(signer_version=1, by_issuer=True)
"""Nothing is wrong with it: RFC 5652 section 5.3 has this way to name a signer, too."""


def attribute(oid: univ.ObjectIdentifier, *values: object) -> rfc5652.Attribute:
    """An attribute with these values."""
    found = rfc5652.Attribute()
    found["attrType"] = oid
    for position, value in enumerate(values):
        found["attrValues"][position] = encode(value)
    return found


def digest_of(content: BinaryIO, algorithm: hashes.HashAlgorithm | None = None) -> bytes:
    """Hash of a file; SHA-256 if not said otherwise."""
    hasher = hashes.Hash(algorithm or hashes.SHA256())
    for piece in chunks(content):
        hasher.update(piece)
    return hasher.finalize()


def key_identifier(certificate: x509.Certificate) -> bytes:
    """Its subject key identifier, or the usual one of its key if it says none."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest


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
    frames = _frames(content, content_type, signer, attributes, certificates, unsigned, odd)
    framed(out, content, around(frames, bytes(encode(rfc5652.id_signedData))))


def signed_message(
    content: bytes,
    content_type: str,
    signer: Authority,
    attributes: Sequence[rfc5652.Attribute] = (),
    *,
    certificates: Sequence[x509.Certificate] = (),
    unsigned: Sequence[rfc5652.Attribute] = (),
    odd: Oddities = PLAIN,
) -> bytes:
    """As `sign`, for what is small."""
    out = BytesIO()
    sign(BytesIO(content), out, content_type, signer, attributes, certificates=certificates, unsigned=unsigned, odd=odd)
    return out.getvalue()


def signed_data(
    content: bytes,
    content_type: str,
    signer: Authority,
    attributes: Sequence[rfc5652.Attribute] = (),
    *,
    certificates: Sequence[x509.Certificate] = (),
    odd: Oddities = PLAIN,
) -> bytes:
    """As `signed_message`, without the ContentInfo around it."""
    out, file = BytesIO(), BytesIO(content)
    framed(out, file, _frames(file, content_type, signer, attributes, certificates, (), odd))
    return out.getvalue()


def _frames(
    content: BinaryIO,
    content_type: str,
    signer: Authority,
    attributes: Sequence[rfc5652.Attribute],
    certificates: Sequence[x509.Certificate],
    unsigned: Sequence[rfc5652.Attribute],
    odd: Oddities,
) -> list[tuple[int, bytes, bytes]]:
    """What is around the content in a SignedData."""
    algorithm = digest_for(signer.key)
    info = _signer_info(signer, digest_of(content, algorithm), odd.signed_type or content_type, attributes, odd)
    for position, one in enumerate(unsigned):
        info["unsignedAttrs"][position] = one
    signers = univ.SetOf(componentType=rfc5652.SignerInfo())
    signers.extend([info] * odd.signers)
    before = bytes(encode(univ.Integer(odd.version))) + _digest_algorithms(algorithm, odd.digests)
    behind = _certificates(certificates) + bytes(encode(signers))
    return [*encapsulated(content_type), (SEQUENCE, before, behind)]


def _signer_info(
    signer: Authority, digest: bytes, content_type: str, attributes: Sequence[rfc5652.Attribute], odd: Oddities
) -> rfc5652.SignerInfo:
    algorithm = digest_for(signer.key)
    size = algorithm.digest_size * 8
    info = rfc5652.SignerInfo()
    info["version"] = odd.signer_version
    if odd.by_issuer:
        named = info["sid"]["issuerAndSerialNumber"]
        named["issuer"] = decode(signer.certificate.issuer.public_bytes(), asn1Spec=rfc5280.Name())[0]
        named["serialNumber"] = signer.certificate.serial_number
    else:
        info["sid"]["subjectKeyIdentifier"] = key_identifier(signer.certificate)
    info["digestAlgorithm"]["algorithm"] = _HASHES[size]
    own = (
        attribute(rfc5652.id_contentType, univ.ObjectIdentifier(content_type)),
        attribute(rfc5652.id_messageDigest, univ.OctetString(digest[::-1] if odd.wrong_digest else digest)),
    )
    there = [one for one in (*own, *attributes) if str(one["attrType"]) not in odd.without]
    there += [one for one in there if str(one["attrType"]) in odd.repeated]
    for position, one in enumerate(there):
        info["signedAttrs"][position] = one
    # the signature is over a SET OF, not over the [0] of the message
    covered = b"\x31" + bytes(encode(info["signedAttrs"]))[1:]
    if isinstance(signer.key, rsa.RSAPrivateKey):
        info["signatureAlgorithm"]["algorithm"] = _RSA_ENCRYPTION
        info["signatureAlgorithm"]["parameters"] = encode(univ.Null(""))
        signature = signer.key.sign(covered, PKCS1v15(), algorithm)
    else:
        info["signatureAlgorithm"]["algorithm"] = _ECDSA[size]
        signature = signer.key.sign(covered, ec.ECDSA(algorithm))
    info["signature"] = signature[:-1] + bytes([signature[-1] ^ odd.broken])
    return info


def _digest_algorithms(algorithm: hashes.HashAlgorithm, count: int) -> bytes:
    found = rfc5652.DigestAlgorithmIdentifiers()
    own = _HASHES[algorithm.digest_size * 8]
    for position, one in enumerate([own, *(one for one in _HASHES.values() if one != own)][:count]):
        found[position]["algorithm"] = one
    return bytes(encode(found))


def _certificates(certificates: Sequence[x509.Certificate]) -> bytes:
    if not certificates:
        return b""
    found = rfc5652.CertificateSet()
    for position, one in enumerate(certificates):
        found[position]["certificate"] = decode(one.public_bytes(Encoding.DER), asn1Spec=rfc5280.Certificate())[0]
    return b"\xa0" + bytes(encode(found))[1:]
