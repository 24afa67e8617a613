"""The SignedData around a Full PKI Request: reads it, and tells whether a key signed it (RFC 5272 section 3.2)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from pyasn1.codec.ber.decoder import decode as decode_ber
from pyasn1.codec.der.decoder import decode
from pyasn1.codec.der.encoder import encode
from pyasn1.type import univ
from pyasn1_alt_modules import rfc5652, rfc6402

from device_sdk_simulators.cmc.refusal import BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, CmcRefusedError
from device_sdk_simulators.unreadable import UNREADABLE

_HASHES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": ("sha256", hashes.SHA256()),
    "2.16.840.1.101.3.4.2.2": ("sha384", hashes.SHA384()),
    "2.16.840.1.101.3.4.2.3": ("sha512", hashes.SHA512()),
}
# ECDSA and PKCS#1 v1.5 with a hash of their own name it; rsaEncryption goes by the digest algorithm
_SIGNATURES = {
    "1.2.840.10045.4.3.2": "sha256",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
    "1.2.840.113549.1.1.11": "sha256",
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.113549.1.1.1": None,
}


@dataclass(frozen=True)
class SignerInfo:
    """The one signature of a request.

    Attributes:
        key_identifier: subject key identifier of the signer, if it is named so.
        issuer_and_serial: DER of the issuer's name and the serial number, if it is named so.
        digest: name of the hash.
        signed_attributes: what the signature is over: DER of the SET.
        signature: its value.
        message_digest: of the content, as the signer says.
        signing_time: or None.
        has_unsigned: whether there are unsigned attributes.
    """

    key_identifier: bytes | None
    issuer_and_serial: tuple[bytes, int] | None
    digest: str
    signed_attributes: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    message_digest: bytes = field(repr=False)
    signing_time: datetime | None = None
    has_unsigned: bool = False


@dataclass(frozen=True)
class Message:
    """A message as it came; nobody has verified it yet.

    Attributes:
        content: the PKIData.
        certificates: those that came with it.
        signer: None for a message without signature.
        content_type: of the content, dotted.
    """

    content: bytes = field(repr=False)
    certificates: tuple[x509.Certificate, ...]
    signer: SignerInfo | None
    content_type: str = str(rfc6402.id_cct_PKIData)

    @property
    def digest(self) -> bytes:
        """What copies have in common and other messages of the same signer have not; longer than any nonce.

        It is over what the signature is over. Who sees a message can change everything else: the encoding, the
        certificates, how the signer is named, and an ECDSA signature, too.
        """
        signed = self.content if self.signer is None else self.signer.signed_attributes
        return b"message:" + hashlib.sha512(signed).digest()

    def verify(self, public_key: object) -> None:
        """CmcRefusedError (badMessageCheck) unless this key signed the content."""
        signer = self.signer
        if signer is None or not isinstance(public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
            raise CmcRefusedError(BAD_MESSAGE_CHECK, "the message is not signed with an EC or RSA key")
        if not hmac.compare_digest(hashlib.new(signer.digest, self.content).digest(), signer.message_digest):
            raise CmcRefusedError(BAD_MESSAGE_CHECK, "the message digest is not that of the content")
        algorithm = next(algorithm for name, algorithm in _HASHES.values() if name == signer.digest)
        try:
            if isinstance(public_key, ec.EllipticCurvePublicKey):
                public_key.verify(signer.signature, signer.signed_attributes, ec.ECDSA(algorithm))
            else:
                public_key.verify(signer.signature, signer.signed_attributes, padding.PKCS1v15(), algorithm)
        except (InvalidSignature, UnsupportedAlgorithm) as error:
            raise CmcRefusedError(BAD_MESSAGE_CHECK, "the signature of the message is not one by its signer") from error


def read_message(body: bytes, *, content_types: Collection[str] = (str(rfc6402.id_cct_PKIData),)) -> Message:
    """DER or BER of a ContentInfo; CmcRefusedError (badRequest, badAlg) for what is not a signed message of these types.

    By default a Full PKI Request.
    """
    try:
        info, rest = decode_ber(body, asn1Spec=rfc5652.ContentInfo())
        if rest or info["contentType"] != rfc5652.id_signedData:
            raise CmcRefusedError(BAD_REQUEST, "not a SignedData; AuthenticatedData is not supported")
        signed, _rest = decode_ber(info["content"], asn1Spec=rfc5652.SignedData())
        encapsulated = signed["encapContentInfo"]
        content_type = str(encapsulated["eContentType"])
        if content_type not in content_types or not encapsulated["eContent"].isValue:
            raise CmcRefusedError(BAD_REQUEST, "the message holds something else than it should")
        certificates = tuple(
            x509.load_der_x509_certificate(bytes(encode(one["certificate"])))
            for one in signed["certificates"]
            if one.getName() == "certificate"
        )
        signers = list(signed["signerInfos"])
        if len(signers) > 1:
            raise CmcRefusedError(BAD_REQUEST, "one signature, please")
        signer = _signer(signers[0], content_type) if signers else None
        return Message(bytes(encapsulated["eContent"]), certificates, signer, content_type)
    except UNREADABLE as error:
        raise CmcRefusedError(BAD_REQUEST, "the body is not a CMS message") from error


def _signer(info: rfc5652.SignerInfo, expected: str) -> SignerInfo:
    digest = _digest_of(info)
    attributes: dict[str, bytes] = {}
    for attribute in info["signedAttrs"]:
        name = str(attribute["attrType"])
        if name in attributes or len(attribute["attrValues"]) != 1:
            raise CmcRefusedError(BAD_REQUEST, f"signed attribute {name} is not there once with one value")
        attributes[name] = bytes(attribute["attrValues"][0])
    content_type = attributes.get(str(rfc5652.id_contentType))
    message_digest = attributes.get(str(rfc5652.id_messageDigest))
    if message_digest is None or content_type is None:
        raise CmcRefusedError(BAD_REQUEST, "content type or message digest is not signed (RFC 5652 section 5.3)")
    if str(decode(content_type, asn1Spec=univ.ObjectIdentifier())[0]) != expected:
        raise CmcRefusedError(BAD_MESSAGE_CHECK, "the signed content type is not that of the content")
    name, value = info["sid"].getName(), info["sid"].getComponent()
    named = (bytes(encode(value["issuer"])), int(value["serialNumber"])) if name == "issuerAndSerialNumber" else None
    return SignerInfo(
        bytes(value) if named is None else None,
        named,
        digest,
        # RFC 5652 section 5.4: the SET OF with its universal tag
        b"\x31" + bytes(encode(info["signedAttrs"]))[1:],
        bytes(info["signature"]),
        bytes(decode(message_digest, asn1Spec=univ.OctetString())[0]),
        _signing_time(attributes.get(str(rfc5652.id_signingTime))),
        bool(info["unsignedAttrs"].isValue),
    )


def _digest_of(info: rfc5652.SignerInfo) -> str:
    digest_oid = str(info["digestAlgorithm"]["algorithm"])
    signature_oid = str(info["signatureAlgorithm"]["algorithm"])
    if digest_oid not in _HASHES or signature_oid not in _SIGNATURES:
        raise CmcRefusedError(BAD_ALG, f"digest {digest_oid} with signature {signature_oid} is not accepted")
    digest = _HASHES[digest_oid][0]
    if _SIGNATURES[signature_oid] not in (None, digest):
        raise CmcRefusedError(BAD_ALG, "the signature algorithm goes with another digest")
    return digest


def _signing_time(value: bytes | None) -> datetime | None:
    if value is None:
        return None
    moment: datetime = decode(value, asn1Spec=rfc5652.SigningTime())[0].getComponent().asDateTime
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
