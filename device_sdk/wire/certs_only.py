"""Certificates out of a certs-only CMS message (RFC 5272 section 4.1), as /cacerts and the enrolments answer with."""

from __future__ import annotations

from collections.abc import Iterable

from asn1crypto import cms, core
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.errors import WireError
from device_sdk.model.http import MAX_RESPONSE_BYTES
from device_sdk.wire.ber import children, is_one_sequence
from device_sdk.wire.cms.definite import make_definite
from device_sdk.wire.der import integer, oid, sequence, set_of, tlv
from device_sdk.wire.modest import ASN1CRYPTO_ERRORS, require_modest
from device_sdk.wire.transfer import LABELS_CERTS_ONLY, decode_blocks

MAX_CERTIFICATES = 100

_CERTIFICATE = 0x30
_INDEFINITE = 0x80
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def read_certs_only(body: bytes, *, limit: int = MAX_RESPONSE_BYTES) -> tuple[x509.Certificate, ...]:
    """The certificates of a response body in any form the tolerant reader knows.

    Besides a certs-only message (base64, DER, PEM labelled PKCS7 or CMS) it takes one or more PEM certificates.

    Raises:
        WireError: not such a body; see decode_blocks and parse_certs_only.
    """
    found: list[x509.Certificate] = []
    for block in decode_blocks(body, labels=LABELS_CERTS_ONLY, limit=limit):
        # Bundles made with `cat` also carry CMS messages under the label CERTIFICATE.
        if block.label == "CERTIFICATE" and not _is_content_info(block.der):
            found.extend(usable_certificates([block.der]))
        else:
            found.extend(parse_certs_only(block.der))
    return _distinct(found)


def write_certs_only(certificates: Iterable[x509.Certificate]) -> bytes:
    """DER of a ContentInfo with a SignedData that has these certificates, in DER's order, and nothing else (RFC 5272 section 4.1)."""
    encoded = set_of((one.public_bytes(Encoding.DER) for one in certificates), tag=0xA0)
    empty = set_of(())
    data = sequence(oid("1.2.840.113549.1.7.1"))
    signed = sequence(integer(1), empty, data, encoded, empty)
    return sequence(oid("1.2.840.113549.1.7.2"), tlv(0xA0, signed))


def parse_certs_only(der: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a SignedData, in the order of the message, each once (EST-44, EST-47).

    DER or BER, version 1 to 5; digest algorithms, CRLs, attribute certificates and signer infos may be there and are
    not looked at: a certs-only message protects nothing, and nothing in it is trusted for being in it (EST-45).
    Certificates whose key algorithm cannot be handled are left out, since nothing could be verified with them.

    Args:
        der: a ContentInfo.

    Raises:
        WireError: not a SignedData, one with content of its own (a CMC response, a signed message), a certificate
            that cannot be read, or more than MAX_CERTIFICATES of them.
    """
    if not is_one_sequence(der):
        raise WireError("not one complete ASN.1 SEQUENCE", what="certs-only")
    require_modest(der, "certs-only")
    try:
        encoded = _certificate_set(der)
    except ASN1CRYPTO_ERRORS as error:
        raise WireError("not a CMS SignedData", what="certs-only") from error
    return _distinct(usable_certificates(encoded))


def _certificate_set(der: bytes) -> list[bytes]:
    """DER of each certificate in the certificates field; everything of another kind there is skipped."""
    info = cms.ContentInfo.load(der, strict=True)
    kind = info["content_type"].native
    if kind != "signed_data":
        raise WireError(f"a CMS message of type {kind} where a certs-only SignedData is expected", what="certs-only")
    signed = info["content"]
    version = signed["version"].native
    if version not in {"v1", "v2", "v3", "v4", "v5"}:
        raise WireError(f"a SignedData of version {version}", what="certs-only")
    _require_no_content(signed["encap_content_info"])
    certificates = signed["certificates"]
    if isinstance(certificates, core.Void):
        return []
    found = []
    for number, (tag, element, _) in enumerate(children(certificates.contents or b""), start=1):
        if number > MAX_CERTIFICATES:
            raise WireError(f"more than {MAX_CERTIFICATES} certificates", what="certs-only")
        if tag == _CERTIFICATE:
            found.append(_as_der(element))
    return found


def _as_der(element: bytes) -> bytes:
    """A certificate of indefinite length in the form that was signed; any other as it is."""
    return make_definite(element) if element[1] == _INDEFINITE else element


def _require_no_content(encapsulated: cms.ContentInfo) -> None:
    """Refuse a message that says something; some servers write an empty OCTET STRING instead of nothing."""
    kind = encapsulated["content_type"].native
    if kind != "data":
        raise WireError(f"the message carries content of type {kind}, not certificates only", what="certs-only")
    content = encapsulated["content"].native
    if content:
        raise WireError(
            f"the message carries {len(content)} bytes of content, not certificates only", what="certs-only"
        )


def usable_certificates(encoded: Iterable[bytes]) -> list[x509.Certificate]:
    """Certificates read completely, so that no later access to a field can fail; without those of unknown algorithms.

    Raises:
        WireError: one of them cannot be read.
    """
    usable = []
    for number, der in enumerate(encoded, start=1):
        try:
            certificate = x509.load_der_x509_certificate(der)
            _ = certificate.subject, certificate.issuer, certificate.extensions, certificate.not_valid_after_utc
            certificate.public_key()
        except UnsupportedAlgorithm:
            continue
        except _UNREADABLE as error:
            raise WireError(f"certificate {number} of the message cannot be read", what="certificate") from error
        usable.append(certificate)
    return usable


def _distinct(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    return tuple(dict.fromkeys(certificates))


def _is_content_info(der: bytes) -> bool:
    """Whether a SEQUENCE starts with an OBJECT IDENTIFIER, as a ContentInfo does and a Certificate never."""
    body = 2 if der[1] <= 0x80 else 2 + (der[1] & 0x7F)
    return der[body : body + 1] == b"\x06"
