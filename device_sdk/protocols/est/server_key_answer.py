"""The parts of a /serverkeygen answer, told apart by what they hold (EST-194, EST-199, EST-203; RFC 8295 section 8)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from device_sdk.errors import RemoteProtocolError, ServerKeyError, WireError
from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.protocols.est.media import PKCS7, parse_media_type
from device_sdk.protocols.est.refusals import refuse, unreadable
from device_sdk.protocols.est.server_text import printable, server_text
from device_sdk.wire.ber import contents_of
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import SET, Reader
from device_sdk.wire.key_packages.encrypted import ENCRYPTED_KEY_PACKAGE
from device_sdk.wire.multipart import Part, read_multipart
from device_sdk.wire.transfer import LABELS_CERTS_ONLY, LABELS_CMS, decode_blocks, decode_body

PKCS8, CMS, PKCS12 = "application/pkcs8", "application/cms", "application/pkcs12"
# What says nothing: no type at all, and what libraries write where nobody told them.
_UNDECLARED = {"", "text/plain", "application/octet-stream"}
_READABLE = {PKCS8} | PKCS7 | _UNDECLARED
_RFC_8295 = {CMS, PKCS12}
_HINTS = {
    CMS: "say who may sign packages of keys (--package-anchors) if this server's are to be taken",
    PKCS12: "give the password (--pkcs12-password-file) if this server's files are to be taken",
}
_KEY_ARMOUR = re.compile(rb"^[ \t]*-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)
_ENVELOPES = (oids.ENVELOPED_DATA, oids.AUTH_ENVELOPED_DATA)
_INTEGER, _OID, _EXPLICIT_0 = 0x02, 0x06, 0xA0
_KEYS = ("key", "encrypted key", "key package")


@dataclass(frozen=True)
class ServerKeyAnswer:
    """What came; nothing of it is checked yet. Exactly one of `clear`, `enveloped`, `packaged` and `pkcs12` is there.

    Attributes:
        certificates: of the certificate part; none where the answer is one message that may hold them.
        clear: the key part, if it is a private key in the clear.
        enveloped: the key part, if it is an encrypted message (RFC 7030 section 4.4.2).
        connection: what it came over.
        packaged: the key part, if it is signed, or an encrypted key package (RFC 8295 section 8.1).
        pkcs12: the answer, if it is a PKCS#12 file (section 8.3).
    """

    certificates: tuple[x509.Certificate, ...]
    clear: bytes | None = field(repr=False)
    enveloped: bytes | None = field(repr=False)
    connection: ConnectionFacts
    packaged: bytes | None = field(default=None, repr=False)
    pkcs12: bytes | None = field(default=None, repr=False)


def read_server_key(response: HttpResponse, now: datetime, *, accepted: Collection[str] = ()) -> ServerKeyAnswer:
    """Read the answer: two parts, in any order and in any of the forms EST-199 lists, or one message of RFC 8295.

    What a part is, its content says; a Content-Type that is none of those EST knows is refused all the same.

    Args:
        response: the answer.
        now: the present.
        accepted: which of the media types of RFC 8295 there is a policy for: CMS, PKCS12.

    Raises:
        HttpStatusError: a status other than 200 and 201.
        RemoteProtocolError: another kind of answer, or one that cannot be read.
        ServerKeyError: not one key and one certificate.
    """
    if response.status_code not in (200, 201):
        refuse(response, now)
    content_type = response.header("Content-Type") or ""
    name = parse_media_type(content_type).name
    try:
        if name in accepted:
            return _read_message(response)
        _require_multipart(response, name)
        return _read_parts(response, read_multipart(response.body, content_type), accepted)
    except WireError as error:
        raise unreadable(response, error) from error


def _read_message(response: HttpResponse) -> ServerKeyAnswer:
    """A body that is neither in parts nor certificates; DER or base64 (AMB-01), by its content (G-08)."""
    message = decode_body(response.body, labels=LABELS_CMS)
    kind = "PKCS#12" if contents_of(message)[:1] == bytes([_INTEGER]) else _kind_of_message(message)
    forms = {"PKCS#12": "pkcs12", "encrypted key": "enveloped", "key package": "packaged"}
    if kind not in forms:
        raise WireError("neither a package of a key nor a PKCS#12 file", what="answer of /serverkeygen")
    empty: dict[str, bytes | None] = dict.fromkeys(("clear", "enveloped"))
    return ServerKeyAnswer(certificates=(), connection=response.connection, **(empty | {forms[kind]: message}))


def _read_parts(response: HttpResponse, parts: Sequence[Part], accepted: Collection[str]) -> ServerKeyAnswer:
    readable = _READABLE | ({CMS} & set(accepted))
    found = {kind: part for part in parts for kind in (_kind(part, readable, response),)}
    if len(parts) != 2 or len(found) != 2 or "certificates" not in found:
        raise ServerKeyError(
            f"{response.shown_url}: the answer has {len(parts)} parts ({', '.join(sorted(found))}), expected are a private "
            "key and a certificate",
            url=response.url,
            status_code=response.status_code,
        )
    certificates = read_certs_only(found["certificates"].body)
    if not certificates:
        raise ServerKeyError(
            f"{response.shown_url}: the answer holds no certificate", url=response.url, status_code=response.status_code
        )
    clear, enveloped, packaged = (found[kind].body if kind in found else None for kind in _KEYS)
    return ServerKeyAnswer(certificates, clear, enveloped, response.connection, packaged)


def _require_multipart(response: HttpResponse, name: str) -> None:
    """EST-166, EST-203: text with 200 is no success, and neither is what nobody here has a policy for."""
    if name == "multipart/mixed":
        return
    said = None if name in _RFC_8295 else server_text(response)
    what = "unsupported response type" if name in _RFC_8295 else f"{response.status_code} with Content-Type"
    raise RemoteProtocolError(
        f"{response.shown_url}: {what} {printable(name, 100)!r}, expected 'multipart/mixed'"
        + (f"; it says: {said}" if said else ""),
        hint=_HINTS.get(name),
        url=response.url,
        status_code=response.status_code,
    )


def _kind(part: Part, readable: Collection[str], response: HttpResponse) -> str:
    """One of _KEYS or "certificates"; WireError for what is none of them."""
    declared = parse_media_type(part.header("Content-Type")).name
    if declared not in readable:
        raise RemoteProtocolError(
            f"{response.shown_url}: unsupported response type {printable(declared, 100)!r} in a part of the answer",
            url=response.url,
            status_code=response.status_code,
        )
    if _KEY_ARMOUR.search(part.body):
        return "key"
    blocks = decode_blocks(part.body, labels=LABELS_CERTS_ONLY)
    first = contents_of(blocks[0].der)[:1]
    if first == bytes([_INTEGER]):
        return "key"
    if first == bytes([_OID]):
        return _kind_of_message(blocks[0].der)
    return "key" if declared == PKCS8 else "certificates"


def _kind_of_message(message: bytes) -> str:
    """The same for a ContentInfo. A certs-only message signs nothing, so what it holds is no content of a type of its own."""
    try:
        info = Reader(make_definite(message)).enter()
        kind = info.oid()
        if kind in _ENVELOPES:
            return "encrypted key"
        if kind != oids.SIGNED_DATA:
            return "key package" if kind == ENCRYPTED_KEY_PACKAGE else "certificates"
        signed = info.enter(_EXPLICIT_0).enter()
        signed.integer()
        signed.contents(SET)
        return "certificates" if signed.enter().oid() == oids.DATA else "key package"
    except ValueError as error:
        raise WireError("not a CMS message", what="CMS") from error
