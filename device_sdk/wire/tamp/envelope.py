"""The CMS layer of a message to a device, as RFC 5934 section 2 narrows it; verifies nothing (T-04, T-05)."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from device_sdk.errors import TampRefusedError
from device_sdk.wire.ber import children
from device_sdk.wire.certs_only import MAX_CERTIFICATES, usable_certificates
from device_sdk.wire.cms.armor import remove_armor
from device_sdk.wire.cms.oids import SIGNED_DATA
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE, SET, PlainReader, Reader
from device_sdk.wire.cms.signatures import DIGESTS
from device_sdk.wire.cms.signer_info import (
    MissingAttributeError,
    RepeatedAttributeError,
    SignerInfo,
    read_attributes,
    read_signer,
)
from device_sdk.wire.cms.strict import require_der
from device_sdk.wire.tamp import oids
from device_sdk.wire.tamp.codes import TampStatus, refused, refusing
from device_sdk.wire.tamp.contents import TampRequest, read_request
from device_sdk.wire.tamp.reference import MessageReference
from device_sdk.wire.tamp.strict import MAX_MESSAGE_BYTES

_EXPLICIT_0 = 0xA0
_CERTIFICATES, _REVOCATIONS = 0xA0, 0xA1
_VERSION = 3


@dataclass
class Seen:
    """How much could be read of a message, for the error message about it (TR-04).

    Attributes:
        message_type: its content type, dotted.
        reference: whom it was for, and its number.
    """

    message_type: str | None = None
    reference: MessageReference | None = None


@dataclass(frozen=True)
class SignedRequest:
    """A message and who says he signed it.

    Attributes:
        content_type: dotted.
        content: DER of the message, the octets that are signed.
        request: the message.
        certificates: those that came with it.
        signer: the one there may be; named by a key identifier.
        contingency: the symmetric key that came with it, which opens a contingency key; or None.
    """

    content_type: str
    content: bytes = field(repr=False)
    request: TampRequest
    certificates: tuple[x509.Certificate, ...]
    signer: SignerInfo
    contingency: bytes | None = field(default=None, repr=False)


def read_signed_request(body: bytes, seen: Seen) -> SignedRequest:
    """Read a message.

    Args:
        body: DER of a ContentInfo, or base64 of it (AMB-01).
        seen: filled on the way, also where this raises.

    Raises:
        TampRefusedError: it is not one, nobody signed it, or several did.
    """
    with refusing(TampStatus.DECODE_FAILURE, "it cannot be read"):
        encoded = remove_armor(body, MAX_MESSAGE_BYTES)
        require_der(encoded)
    with refusing(TampStatus.BAD_CONTENT_INFO, "its ContentInfo"):
        info = PlainReader(encoded).enter()
        kind, inside = info.oid(), info.enter(_EXPLICIT_0)
        info.finish()
    if kind in oids.MEDIA_TYPES:
        raise _unsigned(kind, inside, seen)
    if kind != SIGNED_DATA:
        raise refused(TampStatus.BAD_CONTENT_INFO, f"content of type {kind}, which is no message about trust anchors")
    with refusing(TampStatus.BAD_SIGNED_DATA, "its SignedData"):
        data = inside.enter()
        inside.finish()
        return _read_signed(data, seen)


def _unsigned(kind: str, inside: Reader, seen: Seen) -> TampRefusedError:
    """Nobody signed it: the content lies there directly, or in an OCTET STRING (AMB-14)."""
    content = inside.octets() if inside.next_tag == OCTET_STRING else inside.element()
    _look(kind, content, seen)
    if kind not in oids.TO_DEVICES:
        return refused(TampStatus.UNSUPPORTED_TAMP_MSG_TYPE, f"a message of type {kind} is none to a device")
    return refused(TampStatus.MISSING_SIGNATURE, "nobody signed it")


def _look(kind: str, content: bytes, seen: Seen) -> None:
    """Note what the message is and whom it is for, as far as that can be read."""
    seen.message_type = kind
    if kind in oids.TO_DEVICES:
        try:
            seen.reference = read_request(kind, content).reference
        except (ValueError, TampRefusedError):
            return


def _read_signed(data: Reader, seen: Seen) -> SignedRequest:
    version, digests, encap = data.integer(), data.enter(SET), data.enter()
    content_type, content = _read_content(encap, seen)
    if version != _VERSION:
        raise ValueError(f"version {version}")
    digest = digests.enter().oid()
    digests.finish()
    if digest not in DIGESTS:
        raise refused(TampStatus.BAD_DIGEST_ALGORITHM, f"hash {digest} is not accepted")
    certificates = _read_certificates(data.contents()) if data.next_tag == _CERTIFICATES else ()
    data.skip(_REVOCATIONS)
    signer = _read_signer(data.enter(SET), digest)
    data.finish()
    if signer.content_type != content_type:
        raise refused(TampStatus.CMS_ERROR, "the signed content type is not that of the content")
    contingency = _contingency(signer, content_type)
    with refusing(TampStatus.DECODE_FAILURE, "its content"):
        request = read_request(content_type, content)
    return SignedRequest(content_type, content, request, certificates, signer, contingency)


def _read_content(encap: Reader, seen: Seen) -> tuple[str, bytes]:
    with refusing(TampStatus.BAD_ENCAP_CONTENT, "its content"):
        content_type = encap.oid()
        seen.message_type = content_type
        if encap.next_tag is None:
            raise refused(TampStatus.MISSING_CONTENT, "there is no content")
        content = encap.enter(_EXPLICIT_0).octets()
        encap.finish()
    _look(content_type, content, seen)
    if content_type not in oids.TO_DEVICES:
        raise refused(TampStatus.UNSUPPORTED_TAMP_MSG_TYPE, f"a message of type {content_type} is none to a device")
    return content_type, content


def _read_certificates(contents: bytes) -> tuple[x509.Certificate, ...]:
    with refusing(TampStatus.BAD_CERTIFICATE, "its certificates"):
        found = list(children(contents))
        if any(tag != SEQUENCE for tag, _, _ in found) or len(found) > MAX_CERTIFICATES:
            raise ValueError("others than X.509 certificates, or too many")
        return tuple(dict.fromkeys(usable_certificates(element for _, element, _ in found)))


def _read_signer(members: Reader, digest: str) -> SignerInfo:
    with refusing(TampStatus.BAD_SIGNER_INFO, "its signer"):
        try:
            signer = read_signer(members.enter())
        except RepeatedAttributeError as error:
            raise refused(TampStatus.MALFORMED, f"its signed attributes: {error}") from error
        except MissingAttributeError as error:
            raise refused(TampStatus.CMS_ERROR, f"its signed attributes: {error}") from error
        members.finish()
        if signer.subject_key_id is None:
            raise refused(TampStatus.NO_TRUST_ANCHOR, "its signer is not named by a key identifier")
        if signer.version != _VERSION:
            raise ValueError(f"version {signer.version}")
    if signer.digest_oid != digest:
        raise refused(TampStatus.BAD_DIGEST_ALGORITHM, "the signer used another hash than the message names")
    if signer.scheme is None:
        raise refused(TampStatus.BAD_SIGNATURE_ALGORITHM, "signed with an algorithm that is not accepted")
    with refusing(TampStatus.BAD_SIGNED_ATTRS, "its signed attributes"):
        if not signer.attributes:
            raise ValueError("there are none")
        require_der(signer.signed)
        if any(len(values) != 1 for values in signer.attributes.values()):
            raise ValueError("one that has not exactly one value")
    return signer


def _contingency(signer: SignerInfo, content_type: str) -> bytes | None:
    """The symmetric key among the unsigned attributes; others are ignored (section 2.2.4)."""
    if signer.unsigned is None:
        return None
    with refusing(TampStatus.BAD_UNSIGNED_ATTRS, "its unsigned attributes"):
        try:
            attributes = read_attributes(PlainReader(signer.unsigned))
        except RepeatedAttributeError as error:
            raise refused(TampStatus.MALFORMED, f"its unsigned attributes: {error}") from error
        values = attributes.get(oids.CONTINGENCY_KEY_ATTRIBUTE)
        if values is None:
            return None
        if content_type != oids.APEX_UPDATE or len(values) != 1:
            raise ValueError("the key of a contingency key, where there must be none")
        return PlainReader(values[0]).octets()
