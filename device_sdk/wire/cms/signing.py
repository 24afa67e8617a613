"""Building CMS SignedData (RFC 5652 section 5) with a key that stays where it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import ConfigurationError
from device_sdk.model.keys import PrivateKey, PublicKey
from device_sdk.wire import der

SIGNED_DATA = "1.2.840.113549.1.7.2"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"

_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_NULL = b"\x05\x00"


@dataclass(frozen=True)
class _Suite:
    """A hash, its OID, and that of ECDSA with it (RFC 5754)."""

    algorithm: hashes.HashAlgorithm
    oid: str
    ecdsa: str


_SHA256 = _Suite(hashes.SHA256(), "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2")
_SHA384 = _Suite(hashes.SHA384(), "2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3")
_SHA512 = _Suite(hashes.SHA512(), "2.16.840.1.101.3.4.2.3", "1.2.840.10045.4.3.4")


@dataclass(frozen=True)
class Signer:
    """Who signs, and how the signature names that one.

    Attributes:
        key: any EC or RSA private key, in hardware or not; used for one signature.
        certificate: of the key; the signer is then named by issuer and serial number (RFC 5652 section 5.3).
        key_identifier: names the signer where there is no certificate yet (RFC 5272 section 3.2, EST-205).
    """

    key: PrivateKey = field(repr=False)
    certificate: x509.Certificate | None = None
    key_identifier: bytes | None = None


def sign_data(
    content: bytes,
    content_type: str,
    signer: Signer | None,
    *,
    certificates: Sequence[x509.Certificate] = (),
    signing_time: datetime | None = None,
    attributes: Sequence[bytes] = (),
) -> bytes:
    """A SignedData over the content, with one signature or none.

    Args:
        content: what is signed; it travels inside.
        content_type: its dotted OID.
        signer: who signs; None makes a message without signature, for a revocation by shared secret.
        certificates: those that go along, in any order.
        signing_time: goes into the signed attributes if given; UTC.
        attributes: DER of further signed attributes.

    Returns:
        DER of a ContentInfo.

    Raises:
        ConfigurationError: the signer has neither certificate nor key identifier.
        KeyStoreError: the key could not sign.
    """
    suite = _suite_for(signer.key.public_key()) if signer else None
    infos = [_signer_info(content, content_type, signer, suite, signing_time, attributes)] if signer and suite else []
    digests = [der.sequence(der.oid(suite.oid))] if suite else []
    signed = der.sequence(
        b"\x02\x01\x03",  # version 3: the content is something else than data (RFC 5652 section 5.1)
        der.set_of(digests),
        der.sequence(der.oid(content_type), der.tlv(0xA0, der.tlv(0x04, content))),
        _certificates(certificates),
        der.set_of(infos),
    )
    return der.sequence(der.oid(SIGNED_DATA), der.tlv(0xA0, signed))


def _certificates(certificates: Iterable[x509.Certificate]) -> bytes:
    encoded = {certificate.public_bytes(Encoding.DER) for certificate in certificates}
    return der.set_of(encoded, tag=0xA0) if encoded else b""


def _suite_for(public_key: PublicKey) -> _Suite:
    """The hash as strong as the curve; SHA-256 for RSA."""
    if isinstance(public_key, rsa.RSAPublicKey) or public_key.key_size <= 256:
        return _SHA256
    return _SHA384 if public_key.key_size <= 384 else _SHA512


def _signer_info(
    content: bytes,
    content_type: str,
    signer: Signer,
    suite: _Suite,
    signing_time: datetime | None,
    further: Sequence[bytes],
) -> bytes:
    attributes = [
        *further,
        der.attribute(CONTENT_TYPE, der.oid(content_type)),
        der.attribute(MESSAGE_DIGEST, der.tlv(0x04, _digest(content, suite.algorithm))),
    ]
    if signing_time is not None:
        attributes.append(der.attribute(SIGNING_TIME, _time(signing_time)))
    version, identifier = _identifier(signer)
    algorithm, signature = _signature(signer.key, der.set_of(attributes), suite)
    return der.sequence(
        bytes([0x02, 0x01, version]),
        identifier,
        der.sequence(der.oid(suite.oid)),
        der.set_of(attributes, tag=0xA0),
        algorithm,
        der.tlv(0x04, signature),
    )


def _identifier(signer: Signer) -> tuple[int, bytes]:
    """Version of the SignerInfo and its sid."""
    certificate = signer.certificate
    if certificate is not None:
        serial = der.integer(certificate.serial_number)
        return 1, der.sequence(certificate.issuer.public_bytes(), serial)
    if signer.key_identifier is None:
        raise ConfigurationError("a signature needs a certificate or a key identifier to name its key")
    return 3, der.tlv(0x80, signer.key_identifier)


def _signature(key: PrivateKey, signed: bytes, suite: _Suite) -> tuple[bytes, bytes]:
    """DER AlgorithmIdentifier and the signature's value."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return der.sequence(der.oid(suite.ecdsa)), key.sign(signed, ec.ECDSA(suite.algorithm))
    return der.sequence(der.oid(_RSA_ENCRYPTION), _NULL), key.sign(signed, padding.PKCS1v15(), suite.algorithm)


def _digest(content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    hasher = hashes.Hash(algorithm)
    hasher.update(content)
    return hasher.finalize()


def _time(moment: datetime) -> bytes:
    """UTCTime until 2049, GeneralizedTime from then on (RFC 5652 section 11.3)."""
    if moment.year < 2050:
        return der.tlv(0x17, f"{moment:%y%m%d%H%M%SZ}".encode())
    return der.tlv(0x18, f"{moment:%Y%m%d%H%M%SZ}".encode())
