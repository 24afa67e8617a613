"""Revocation lists out of a crls-only CMS message (RFC 8295 section 4.2), as /crls answers with."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from cryptography import x509

from device_sdk.errors import WireError
from device_sdk.wire.ber import children, is_one_sequence
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.transfer import decode_blocks

MAX_LISTS = 100
MAX_CRLS_BYTES = 8 * 1024 * 1024

_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")
_LABELS = ("PKCS7", "CMS", "X509 CRL")
_SEQUENCE, _EXPLICIT_0, _CRLS = 0x30, 0xA0, 0xA1
_INDEFINITE = 0x80
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def read_crls_only(body: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """The revocation lists of a response body: base64, DER, PEM labelled PKCS7, CMS or X509 CRL; each once.

    DER or BER. Certificates in the message, its content and signers are not looked at: nothing in it is trusted for being
    in it (C-02). The Content-Type does not count either; a message without lists is no such message (AMB-04).

    Raises:
        WireError: not such a body, no list, more than MAX_LISTS, or one that cannot be read.
    """
    encoded: list[bytes] = []
    for block in decode_blocks(body, labels=_LABELS, limit=MAX_CRLS_BYTES):
        if block.label == "X509 CRL":
            encoded.append(block.der)
        else:
            encoded += _lists_in(block.der)
    if not encoded:
        raise WireError("the message has no revocation list", what="crls-only")
    if len(encoded) > MAX_LISTS:
        raise WireError(f"more than {MAX_LISTS} revocation lists", what="crls-only")
    return tuple(_read(der) for der in dict.fromkeys(encoded))


def _lists_in(der: bytes) -> list[bytes]:
    """DER of each CRL in the `crls` field of a SignedData; every other kind of revocation information is skipped."""
    if not is_one_sequence(der):
        raise WireError("not one complete ASN.1 SEQUENCE", what="crls-only")
    (_, _, info), *_ = children(der)
    kind, content = _first_two(info)
    if kind[1] != _SIGNED_DATA or content[0] != _EXPLICIT_0:
        raise WireError("not a CMS SignedData", what="crls-only")
    (tag, _, signed), *_ = [*islice(children(content[2]), 1), (0, b"", b"")]
    if tag != _SEQUENCE:
        raise WireError("not a CMS SignedData", what="crls-only")
    found = [inner for tag, _, inner in islice(children(signed), 8) if tag == _CRLS]
    lists = (element for inner in found for tag, element, _ in children(inner) if tag == _SEQUENCE)
    try:
        return [make_definite(one) if one[1] == _INDEFINITE else one for one in islice(lists, MAX_LISTS + 1)]
    except ValueError as error:
        raise WireError("a revocation list of the message cannot be read", what="crl") from error


def _first_two(contents: bytes) -> tuple[tuple[int, bytes, bytes], tuple[int, bytes, bytes]]:
    found: Iterator[tuple[int, bytes, bytes]] = islice(children(contents), 2)
    pair = tuple(found)
    if len(pair) != 2:
        raise WireError("not a CMS SignedData", what="crls-only")
    return pair[0], pair[1]


def _read(der: bytes) -> x509.CertificateRevocationList:
    try:
        found = x509.load_der_x509_crl(der)
        _ = found.issuer, found.last_update_utc, found.next_update_utc, found.extensions, len(found)
    except _UNREADABLE as error:
        raise WireError("a revocation list of the message cannot be read", what="crl") from error
    return found
