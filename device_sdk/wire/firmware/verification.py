"""The first pass over a firmware package in a file: who signed it, and that this is what was signed (F-04, F-06).

One pass hashes the content, wherever it is; nothing is decrypted or unpacked before somebody trusted is known to have
signed it (S-04), and nothing of the content is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from device_sdk.errors import FirmwareError, VerificationError
from device_sdk.wire.cms.armor_stream import remove_armor_stream
from device_sdk.wire.cms.ber_stream import Scope, Source
from device_sdk.wire.cms.oids import SIGNED_DATA
from device_sdk.wire.cms.passes import Spool
from device_sdk.wire.cms.reader import OCTET_STRING, SEQUENCE, Reader
from device_sdk.wire.cms.signatures import DIGESTS
from device_sdk.wire.cms.signed_data import usage_problem
from device_sdk.wire.cms.signer_info import SignerInfo
from device_sdk.wire.content_constraints import CMS_CONTENT_CONSTRAINTS, ConstraintsMode, Permitted, permitted_by
from device_sdk.wire.firmware import oids
from device_sdk.wire.firmware.attributes import FirmwareAttributes, read_firmware_attributes
from device_sdk.wire.firmware.codes import LoadErrorCode, refused, refusing
from device_sdk.wire.firmware.communities import Community, read_communities
from device_sdk.wire.firmware.signers import (
    element_of,
    read_certificates,
    read_digest_algorithm,
    read_one_signer,
    wrapped_key_of,
)
from device_sdk.wire.path import find_path, name_of
from device_sdk.wire.path_inputs import NO_INPUTS, PathInputs
from device_sdk.wire.relations import Relations

MAX_PACKAGE_BYTES = 512 * 1024 * 1024
EXPLICIT_0 = 0xA0

_CHUNK_BYTES = 64 * 1024
_CERTIFICATES, _REVOCATIONS = 0xA0, 0xA1
_VERSIONS = (1, 3)  # 3 is right, 1 is what the example of the RFC's author has (AMB-16)


@dataclass(frozen=True)
class FirmwarePackage:
    """A package that was read to its end once.

    Attributes:
        kind: content type of what is signed, or of the outermost layer.
        attributes: what the signer says; None for a package that nobody signed.
        signer: who signed, or None.
        anchor: the trust anchor behind the signer, or None.
        digest_oid: the hash that is signed.
        digest: of the content; empty if nobody signed.
        wrapped_key: DER of an EnvelopedData with the key the content is encrypted with, for us or for others; or None.
        limit_bytes: the largest package, as it was given.
    """

    kind: str
    attributes: FirmwareAttributes | None = None
    signer: x509.Certificate | None = None
    anchor: x509.Certificate | None = None
    digest_oid: str = ""
    digest: bytes = b""
    wrapped_key: bytes | None = field(default=None, repr=False)
    limit_bytes: int = MAX_PACKAGE_BYTES


def verify_package(
    file: Spool,
    *,
    anchors: Sequence[x509.Certificate],
    now: datetime,
    intermediates: Iterable[x509.Certificate] = (),
    require_signed: bool = True,
    limit_bytes: int = MAX_PACKAGE_BYTES,
    inputs: PathInputs = NO_INPUTS,
    constraints: ConstraintsMode = "if-present",
) -> FirmwarePackage:
    """Make sure that somebody who may sign firmware signed this package; says nothing about whom it is for.

    Args:
        file: holds the package, DER, BER or base64, from its beginning to its end; nobody else may write to it.
        anchors: who may sign firmware: not those that vouch for servers, unless they are the same (AMB-20).
        now: the present, with a time zone.
        intermediates: further certificates for the path; not trusted.
        require_signed: False takes packages that nobody signed, of which nothing is known then (AMB-15).
        limit_bytes: the largest package.
        inputs: initial policies and revocation lists for the signer's path.
        constraints: whether CMS content constraints have to be there (RFC 6010; AMB-19).

    Raises:
        FirmwareError: it is no such package, or is not to be trusted; `load_error` says why.
        StateNotWritableError: as the file raises it.
    """
    with refusing(LoadErrorCode.DECODE_FAILURE, "it cannot be read"):
        source, padding = source_of(file, limit_bytes)
        info = Scope(source).enter(SEQUENCE)
        kind = element_of(info).oid()
        if kind not in oids.OUTERMOST:
            raise refused(LoadErrorCode.BAD_CONTENT_INFO, f"content of type {kind}")
        if kind != SIGNED_DATA:
            if require_signed:
                raise refused(LoadErrorCode.BAD_CONTENT_INFO, "nobody signed it")
            return FirmwarePackage(kind, limit_bytes=limit_bytes)
        explicit = info.enter(EXPLICIT_0)
        signed = _read_signed(explicit.enter(SEQUENCE))
        explicit.leave()
        info.leave()
        if any(rest.strip(padding) if padding else rest for rest in source.rest()):
            raise ValueError("something behind the message")
    path, permitted = _trusted(signed, anchors, intermediates, now, inputs, constraints)
    attributes = read_firmware_attributes(signed.signer.attributes)
    if attributes.communities is None:
        attributes = replace(attributes, communities=_default_communities(permitted, signed.signer.attributes))
    if signed.kind == oids.ENCRYPTED_DATA and attributes.decrypt_key is None:
        raise refused(LoadErrorCode.BAD_SIGNED_ATTRS, "it is encrypted, and names no key")
    return FirmwarePackage(
        kind=signed.kind,
        attributes=attributes,
        signer=path[0],
        anchor=path[-1],
        digest_oid=signed.digest_oid,
        digest=signed.digest,
        wrapped_key=wrapped_key_of(signed.signer),
        limit_bytes=limit_bytes,
    )


def source_of(file: Spool, limit_bytes: int) -> tuple[Source, bytes]:
    """What the file holds, from its beginning, and what may follow it."""
    message = remove_armor_stream(_chunks(file), limit_bytes)
    return Source(message.pieces), message.padding


def _chunks(file: Spool) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(_CHUNK_BYTES):
        yield piece


@dataclass(frozen=True)
class _Signed:
    kind: str
    digest_oid: str
    digest: bytes
    certificates: tuple[x509.Certificate, ...]
    signer: SignerInfo


def _read_signed(data: Scope) -> _Signed:
    with refusing(LoadErrorCode.BAD_SIGNED_DATA, "its SignedData"):
        if element_of(data).integer() not in _VERSIONS:
            raise ValueError("another version")
        digest_oid = read_digest_algorithm(element_of(data))
    encap = data.enter(SEQUENCE)
    kind = element_of(encap).oid()
    if kind not in oids.LAYERS:
        raise refused(LoadErrorCode.BAD_ENCAP_CONTENT, f"signed content of type {kind}")
    if encap.next_tag is None:
        raise refused(LoadErrorCode.MISSING_CONTENT, "there is no content")
    content = encap.enter(EXPLICIT_0)
    hasher = hashes.Hash(DIGESTS[digest_oid]())
    for piece in content.pieces(OCTET_STRING):
        hasher.update(piece)
    content.leave()
    encap.leave()
    certificates = read_certificates(element_of(data)) if data.next_tag == _CERTIFICATES else ()
    if data.next_tag == _REVOCATIONS:
        data.element()
    signer = read_one_signer(element_of(data))
    data.leave()
    return _Signed(kind, digest_oid, hasher.finalize(), certificates, signer)


def _trusted(
    signed: _Signed,
    anchors: Sequence[x509.Certificate],
    intermediates: Iterable[x509.Certificate],
    now: datetime,
    inputs: PathInputs,
    constraints: ConstraintsMode,
) -> tuple[Sequence[x509.Certificate], Permitted]:
    """The path of a signer who may sign this, and what else he may."""
    bag = tuple(dict.fromkeys((*signed.certificates, *intermediates, *anchors)))
    relations = Relations()
    problem = refused(LoadErrorCode.NO_TRUST_ANCHOR, "the signer's certificate is not there")
    for certificate in (one for one in bag if signed.signer.names(one)):
        try:
            _check_signature(signed, certificate, relations)
            path = find_path(
                certificate,
                intermediates=bag,
                anchors=anchors,
                now=now,
                relations=relations,
                processed=() if constraints == "off" else (CMS_CONTENT_CONSTRAINTS,),
                inputs=inputs,
            )
            permitted = _permitted(signed, path, constraints)
        except FirmwareError as error:
            problem = error
        except VerificationError as error:
            problem = refused(
                LoadErrorCode.NO_TRUST_ANCHOR,
                f"its signer is not to be trusted: {error.message}",
                hint="give the trust anchors for firmware (--firmware-anchors), or ask who made the package",
            )
        else:
            return path, permitted
    raise problem


def _permitted(signed: _Signed, path: Sequence[x509.Certificate], mode: ConstraintsMode) -> Permitted:
    """RFC 6010: what counts is the type of the innermost content, which the package is said to be (F-06)."""
    found = permitted_by(path, mode)
    if isinstance(found, Permitted):
        attributes, defaulted = signed.signer.attributes, (oids.COMMUNITIES,)
        problem = found.problem(oids.FIRMWARE_PACKAGE, attributes, source=True, defaulted=defaulted)
        if problem is None:
            return found
    else:
        problem = found
    raise refused(LoadErrorCode.NOT_AUTHORIZED, f"{name_of(path[0])}: {problem}")


def _default_communities(
    permitted: Permitted, attributes: Mapping[str, tuple[bytes, ...]]
) -> tuple[Community, ...] | None:
    """A signer who may sign for some communities alone, and names none, signs for them (RFC 6010 section 1.2)."""
    values = permitted.defaults(oids.FIRMWARE_PACKAGE, attributes).get(oids.COMMUNITIES)
    if values is None:
        return None
    found: list[Community] = []
    with refusing(LoadErrorCode.NOT_AUTHORIZED, "the communities in the content constraints of its signer"):
        for value in sorted(values):
            reader = Reader(value)
            found += read_communities(reader)
            reader.finish()
    return tuple(found)


def _check_signature(signed: _Signed, certificate: x509.Certificate, relations: Relations) -> None:
    signer, who = signed.signer, name_of(certificate)
    if signer.digest_oid != signed.digest_oid:
        raise refused(LoadErrorCode.BAD_DIGEST_ALGORITHM, "the signer used another hash than the message names")
    if signer.scheme is None:
        raise refused(LoadErrorCode.BAD_SIGNATURE_ALGORITHM, "signed with an algorithm that is not accepted")
    if why := relations.key_problem(certificate):
        raise refused(LoadErrorCode.UNSUPPORTED_KEY_SIZE, f"{who}: {why}")
    if why := usage_problem(certificate):
        raise refused(LoadErrorCode.NOT_AUTHORIZED, f"{who}: {why}")
    if signer.content_type != signed.kind:
        raise refused(LoadErrorCode.CONTENT_TYPE_MISMATCH, "the signed content type is not that of the content")
    if why := signer.signature_problem(certificate.public_key(), signed.digest):
        raise refused(LoadErrorCode.SIGNATURE_FAILURE, why)
