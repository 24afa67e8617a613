"""Fuzz targets: answers of EST and CALE servers."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator
from contextlib import suppress

from device_sdk.errors import (
    DeviceSdkError,
    EnvelopeError,
    WireError,
)
from device_sdk.model.http import HttpResponse
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from device_sdk.protocols.cale.answers import read_registration, read_resource, read_whoami
from device_sdk.protocols.cale.documents import Document, read_document
from device_sdk.protocols.est.full_cmc import Sent, read_fullcmc
from device_sdk.protocols.est.responses import read_cacerts, read_csrattrs, read_enrolment
from device_sdk.protocols.est.saved_answer import as_multipart, read_saved_answer
from device_sdk.protocols.est.server_key_answer import CMS, PKCS12, read_server_key
from device_sdk.protocols.key_packages.layers import peel as peel_to
from device_sdk.protocols.symmetric_keys import PackageRules
from device_sdk.transports.https.faults import FOREIGN
from device_sdk.transports.https.head import Response
from device_sdk.wire.binary_http import BINARY_HTTP, MAX_HEAD_BYTES, check_pieces, read_head
from device_sdk.wire.cale import parse_certificate, parse_guid, says_encrypted, split_content_types
from device_sdk.wire.cmc.pki_response import read_pki_response
from device_sdk.wire.cms import open_envelope, open_stream
from device_sdk.wire.cms.signed_data import read_signed_data
from device_sdk.wire.key_packages.asymmetric import ASYMMETRIC_KEY_PACKAGE, read_asymmetric_key_package
from device_sdk.wire.pkcs12 import read_pkcs12
from device_sdk.wire.pkcs12.derivation import Derivations
from device_sdk.wire.pkcs12.reader import Bags
from device_sdk.wire.private_key import read_private_key
from tests.fuzz.common import CONNECTION, LIMIT, NOW, URL, answered, draft_ca, keys


def envelope(data: bytes) -> None:
    """An encrypted message, for a key of each kind; one error with one text."""
    with suppress(EnvelopeError):
        open_envelope(data, keys()[1] if data[:1] == b"\x30" else keys(), limit_bytes=LIMIT)


def stream(data: bytes) -> None:
    """The same in pieces; the first byte says how large. What opens so opens in one to the same."""
    size, message = 1 + (data[0] if data else 0), data[1:]
    whole: bytes | None = None
    with suppress(EnvelopeError):
        whole = open_envelope(message, keys()[1], limit_bytes=LIMIT)
    pieces = (message[at : at + size] for at in range(0, len(message), size))
    with suppress(EnvelopeError):
        found = b"".join(open_stream(pieces, keys()[1], io.BytesIO(), limit_bytes=LIMIT))
        if found != whole:
            raise AssertionError("two readers, two plaintexts")


def cale_answer(data: bytes) -> None:
    """An answer of an edge device, from its first octet: status, header fields in all their forms, body."""
    response = _over_http(data)
    if response is None:
        return
    for value in split_content_types(response.header_values("Content-Type")):
        says_encrypted(value)
    for read in (read_registration, read_resource, read_whoami):
        with suppress(DeviceSdkError):
            read(response, keys()[1])


def cale_plaintext(data: bytes) -> None:
    """What was decrypted: a GUID, a certificate; a whole response, which says the same in one piece and in several."""
    for parse in (parse_guid, parse_certificate):
        with suppress(WireError):
            parse(data)
    whole: Document | None = None
    with suppress(WireError):
        whole = read_document(BINARY_HTTP, data)
    with suppress(WireError):
        head = read_head(data[:MAX_HEAD_BYTES])
        if check_pieces(head, (data[at : at + 100] for at in range(0, len(data), 100))) != (whole is not None):
            raise AssertionError("two readers, two answers")


def http_head(data: bytes) -> None:
    """An HTTP response from its first octet."""
    _over_http(data)


def csrattrs(data: bytes) -> None:
    """An answer of /csrattrs, and what is made of it."""
    with suppress(DeviceSdkError):
        wishes = read_csrattrs(answered(data, "application/csrattrs"), NOW)
        _ = wishes.required_key_types
        with suppress(DeviceSdkError):
            wishes.signature()


def certs_only(data: bytes) -> None:
    """Answers of /cacerts and /simpleenroll."""
    response = answered(data, "application/pkcs7-mime; smime-type=certs-only")
    for read in (read_cacerts, read_enrolment):
        with suppress(DeviceSdkError):
            read(response, NOW)


def multipart(data: bytes) -> None:
    """An answer of /serverkeygen; the first line is the Content-Type."""
    content_type, _, body = data.partition(b"\n")
    with suppress(DeviceSdkError):
        read_server_key(answered(body, content_type.decode("latin-1")), NOW)


def saved_answer(data: bytes) -> None:
    """What somebody saved of an answer: with its head, with several, or without one."""
    for read in (read_cacerts, read_csrattrs, read_enrolment, read_server_key):
        with suppress(DeviceSdkError):
            read(as_multipart(read_saved_answer(data, URL)), NOW)


def private_key(data: bytes) -> None:
    """A private key as a server sends it."""
    with suppress(DeviceSdkError):
        read_private_key(data)


def generated_key(data: bytes) -> None:
    """What RFC 8295 lets /serverkeygen answer: packages of a key, PKCS#12 files, and what is behind the MAC of those."""
    rules = PackageRules(
        (), NOW, require_signature=False, require_encryption=False, content_type=ASYMMETRIC_KEY_PACKAGE
    )
    policy = Pkcs12Policy(Secret("password"), allow_legacy=True, max_iterations=2000)
    with suppress(DeviceSdkError):
        read_server_key(answered(data, CMS), NOW, accepted=(CMS, PKCS12))
    with suppress(DeviceSdkError):
        read_asymmetric_key_package(peel_to(data, rules, keys()).content)
    for read in (read_asymmetric_key_package, lambda value: read_pkcs12(value, policy)):
        with suppress(DeviceSdkError):
            read(data)
    with suppress(ValueError, DeviceSdkError):
        Bags(Derivations(policy)).take_safes(data)


def cmc_response(data: bytes) -> None:
    """An answer of /fullcmc; its content; and the SignedData around it."""
    for read in (read_signed_data, read_pki_response):
        with suppress(DeviceSdkError):
            read(data)
    response = answered(data, "application/pkcs7-mime; smime-type=CMC-response")
    with suppress(DeviceSdkError):
        read_fullcmc(response, Sent(1, b"nonce"), draft_ca(), NOW)


class _Wire:
    """A connection over which these bytes come, and then nothing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        return io.BufferedReader(io.BytesIO(self._data))  # type: ignore[arg-type]  # it is one for this purpose


def _over_http(data: bytes) -> HttpResponse | None:
    """The response as the transport sees it; None if there is none."""
    try:
        response = Response(_Wire(data), method="GET")
        response.begin()
        body = b"".join(_body(response))
        return HttpResponse(response.status, response.fields, body, URL, CONNECTION)
    except (DeviceSdkError, *FOREIGN):
        return None


def _body(response: http.client.HTTPResponse) -> Iterator[bytes]:
    size = 0
    while size <= LIMIT and (piece := response.read(8192)):
        size += len(piece)
        yield piece
