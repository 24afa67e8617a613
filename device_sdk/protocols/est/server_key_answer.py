"""The two parts of a /serverkeygen answer, told apart by what they hold (EST-194, EST-199, EST-203)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from device_sdk.errors import RemoteProtocolError, ServerKeyError, WireError
from device_sdk.model.http import ConnectionFacts, HttpResponse
from device_sdk.protocols.est.media import PKCS7, parse_media_type
from device_sdk.protocols.est.responses import refuse, unreadable
from device_sdk.protocols.est.server_text import printable, server_text
from device_sdk.wire.ber import contents_of
from device_sdk.wire.certs_only import read_certs_only
from device_sdk.wire.cms import oids
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.cms.reader import Reader
from device_sdk.wire.multipart import Part, read_multipart
from device_sdk.wire.transfer import LABELS_CERTS_ONLY, decode_blocks

PKCS8 = "application/pkcs8"
# What says nothing: no type at all, and what libraries write where nobody told them.
_UNDECLARED = {"", "text/plain", "application/octet-stream"}
_READABLE = {PKCS8} | PKCS7 | _UNDECLARED
_RFC_8295 = {"application/cms", "application/pkcs12"}
_KEY_ARMOUR = re.compile(rb"^[ \t]*-----BEGIN [A-Z ]*PRIVATE KEY-----", re.MULTILINE)
_ENVELOPES = (oids.ENVELOPED_DATA, oids.AUTH_ENVELOPED_DATA)
_INTEGER, _OID = 0x02, 0x06


@dataclass(frozen=True)
class ServerKeyAnswer:
    """What came; nothing of it is checked yet. Exactly one of `clear` and `enveloped` is there.

    Attributes:
        certificates: of the certificate part, at least one.
        clear: the key part, if it is a private key in the clear.
        enveloped: the key part, if it is an encrypted message.
        connection: what it came over.
    """

    certificates: tuple[x509.Certificate, ...]
    clear: bytes | None = field(repr=False)
    enveloped: bytes | None = field(repr=False)
    connection: ConnectionFacts


def read_server_key(response: HttpResponse, now: datetime) -> ServerKeyAnswer:
    """Read the answer: exactly two parts, in any order, in any of the forms EST-199 lists.

    What a part is, its content says; a Content-Type that is none of those EST knows is refused all the same.

    Raises:
        HttpStatusError: a status other than 200 and 201.
        RemoteProtocolError: another kind of answer, or one that cannot be read.
        ServerKeyError: not one key and one certificate.
    """
    if response.status_code not in (200, 201):
        refuse(response, now)
    content_type = response.header("Content-Type") or ""
    _require_multipart(response, parse_media_type(content_type).name)
    try:
        parts = read_multipart(response.body, content_type)
        found = {kind: part for part in parts for kind in (_kind(part, response),)}
        if len(parts) != 2 or len(found) != 2 or "certificates" not in found:
            raise ServerKeyError(
                f"{response.shown_url}: the answer has {len(parts)} parts ({', '.join(sorted(found))}), expected are a private "
                "key and a certificate",
                url=response.url,
                status_code=response.status_code,
            )
        certificates = read_certs_only(found["certificates"].body)
    except WireError as error:
        raise unreadable(response, error) from error
    if not certificates:
        raise ServerKeyError(
            f"{response.shown_url}: the answer holds no certificate", url=response.url, status_code=response.status_code
        )
    clear, enveloped = (found[kind].body if kind in found else None for kind in ("key", "encrypted key"))
    return ServerKeyAnswer(certificates, clear, enveloped, response.connection)


def _require_multipart(response: HttpResponse, name: str) -> None:
    """EST-166, EST-203: text with 200 is no success, and RFC 8295's answers are of another protocol."""
    if name == "multipart/mixed":
        return
    said = None if name in _RFC_8295 else server_text(response)
    what = "unsupported response type" if name in _RFC_8295 else f"{response.status_code} with Content-Type"
    raise RemoteProtocolError(
        f"{response.shown_url}: {what} {printable(name, 100)!r}, expected 'multipart/mixed'"
        + (f"; it says: {said}" if said else ""),
        url=response.url,
        status_code=response.status_code,
    )


def _kind(part: Part, response: HttpResponse) -> str:
    """Either "key", "encrypted key" or "certificates"; WireError for what is none of them."""
    declared = parse_media_type(part.header("Content-Type")).name
    if declared not in _READABLE:
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
        return "encrypted key" if _content_type(blocks[0].der) in _ENVELOPES else "certificates"
    return "key" if declared == PKCS8 else "certificates"


def _content_type(message: bytes) -> str:
    try:
        return Reader(make_definite(message)).enter().oid()
    except ValueError as error:
        raise WireError("not a CMS message", what="CMS") from error
