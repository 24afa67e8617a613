"""One SignerInfo of a SignedData (RFC 5652 section 5.3): who it names, what it signs, and whether a key made it."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from device_sdk.wire.cms.definite import encode_element
from device_sdk.wire.cms.reader import INTEGER, SEQUENCE, SET, Reader
from device_sdk.wire.cms.signatures import DIGESTS, SignatureScheme, read_scheme

CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
MAX_ATTRIBUTES = 64

_SUBJECT_KEY_IDENTIFIER = 0x80
_SIGNED_ATTRIBUTES, _UNSIGNED_ATTRIBUTES = 0xA0, 0xA1


class RepeatedAttributeError(ValueError):
    """An attribute is there twice, or there are too many."""


class MissingAttributeError(ValueError):
    """Content type or digest are not among the signed attributes, or have several values."""


@dataclass(frozen=True)
class SignerInfo:
    """What one signer says of itself; nothing in it is trusted before `problem` found none.

    Attributes:
        issuer: DER of the issuer's name, if the signer is named by that and a serial number.
        serial_number: of the signer's certificate, likewise.
        subject_key_id: the signer's subjectKeyIdentifier, if it is named by that.
        digest_oid: the digest algorithm.
        scheme: the signature algorithm; None for one that is not accepted.
        content_type: the signed content type, dotted; empty without signed attributes.
        message_digest: the signed digest of the content; empty without signed attributes.
        attributes: DER of the values of each signed attribute, by object identifier; empty if there are none.
        signed: the bytes the signature is over: signedAttrs as a SET OF.
        signature: as in the message.
        version: as in the message.
        unsigned: contents of the unsigned attributes, not looked at; None if there are none.
    """

    issuer: bytes | None
    serial_number: int | None
    subject_key_id: bytes | None
    digest_oid: str
    scheme: SignatureScheme | None
    content_type: str
    message_digest: bytes
    attributes: dict[str, tuple[bytes, ...]]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    version: int = 1
    unsigned: bytes | None = field(default=None, repr=False)

    def names(self, certificate: x509.Certificate) -> bool:
        """Whether this is the certificate the signer says it has."""
        if self.subject_key_id is not None:
            return self.subject_key_id == _key_identifier(certificate)
        return certificate.serial_number == self.serial_number and certificate.issuer.public_bytes() == self.issuer

    def problem(self, key: CertificatePublicKeyTypes, content_type: str, content: bytes) -> str | None:
        """Why this is no signature by a key over content of that type (RFC 5652 section 5.6); None if it is one.

        Signed attributes are demanded always: without them, a signature over attributes could be shown as one over
        content, and for every type but data they MUST be there anyway (section 5.3).
        """
        if self.scheme is None or self.digest_oid not in DIGESTS:
            return "signed with an algorithm that is not accepted"
        if not self.attributes:
            return "it has no signed attributes"
        if self.content_type != content_type:
            return "the signed content type is not that of the content"
        hasher = hashes.Hash(DIGESTS[self.digest_oid]())
        hasher.update(content)
        return self.signature_problem(key, hasher.finalize())

    def signature_problem(self, key: CertificatePublicKeyTypes, digest: bytes) -> str | None:
        """Why this is no signature by a key over content of that digest; None if it is one."""
        if self.scheme is None:
            return "signed with an algorithm that is not accepted"
        if digest != self.message_digest:
            return "the signed digest is not that of the content"
        return (
            None if self.scheme.verifies(key, self.signature, self.signed) else "the signature is not one by this key"
        )


def read_signer(info: Reader) -> SignerInfo:
    """Read a SignerInfo; its version is not looked at, as writers disagree about it.

    Args:
        info: inside its SEQUENCE.

    Raises:
        ValueError: it cannot be read; RepeatedAttributeError or MissingAttributeError where that is why.
    """
    version = info.integer()
    issuer = serial = identifier = None
    if info.next_tag == _SUBJECT_KEY_IDENTIFIER:
        identifier = info.octets(_SUBJECT_KEY_IDENTIFIER)
    else:
        named = info.enter()
        issuer, serial = named.element(SEQUENCE), int.from_bytes(named.contents(INTEGER), "big", signed=True)
    digest_oid = info.enter().oid()
    signed, attributes, content_type, message_digest = b"", {}, "", b""
    if info.next_tag == _SIGNED_ATTRIBUTES:
        # Signed is the SET OF with its universal tag, not the [0] of the message (section 5.4).
        signed = encode_element(SET, info.contents())
        attributes = read_attributes(Reader(signed).enter(SET))
        content_type = _only(attributes.get(CONTENT_TYPE, ())).oid()
        message_digest = _only(attributes.get(MESSAGE_DIGEST, ())).octets()
    scheme = read_scheme(info.enter(), digest_oid)
    signature = info.octets()
    unsigned = info.contents() if info.next_tag == _UNSIGNED_ATTRIBUTES else None
    info.finish()
    return SignerInfo(
        issuer=issuer,
        serial_number=serial,
        subject_key_id=identifier,
        digest_oid=digest_oid,
        scheme=scheme,
        content_type=content_type,
        message_digest=message_digest,
        attributes=attributes,
        signed=signed,
        signature=signature,
        version=version,
        unsigned=unsigned,
    )


def read_attributes(members: Reader) -> dict[str, tuple[bytes, ...]]:
    """The inside of a SET OF Attribute: DER of the values of each, by object identifier.

    Raises:
        ValueError: it cannot be read; RepeatedAttributeError where that is why.
    """
    found: dict[str, tuple[bytes, ...]] = {}
    while members.next_tag is not None:
        attribute = members.enter()
        name = attribute.oid()
        values = attribute.enter(SET)
        attribute.finish()
        if name in found or len(found) == MAX_ATTRIBUTES:
            raise RepeatedAttributeError("an attribute twice, or too many of them")
        listed: list[bytes] = []
        while values.next_tag is not None:
            listed.append(values.element())
        found[name] = tuple(listed)
    return found


def _only(values: tuple[bytes, ...]) -> Reader:
    """The one value of an attribute that has exactly one (RFC 5652 sections 11.1 and 11.2)."""
    if len(values) != 1:
        raise MissingAttributeError("an attribute that is missing, or has several values")
    return Reader(values[0])


def _key_identifier(certificate: x509.Certificate) -> bytes:
    """The extension's value, or, where there is none, that of RFC 5280 section 4.2.1.2, method 1."""
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
