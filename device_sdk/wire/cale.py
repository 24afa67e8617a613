"""What CALE puts on the wire around its envelopes (draft-deutch-lamps-client-app-encrypt-00, appendix B)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from device_sdk.errors import WireError

GUID_HEADER = "CALE-GUID"

_GUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ONE_VALUE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_ENVELOPE_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_SMIME_TYPES = frozenset({"enveloped-data", "authenveloped-data"})
_PRINTED_TYPE = "text/plain;charset=utf-8"
_MAX_HEADER_CHARS = 4096


def is_guid(text: str) -> bool:
    """Whether a text has the form of RFC 4122 section 3, in either case."""
    return _GUID.fullmatch(text) is not None


def parse_guid(plaintext: bytes) -> str:
    """The GUID of a decrypted registration answer, as the server spelt it; one line end after it is allowed (CALE-03).

    Raises:
        WireError: it is no GUID.
    """
    text = plaintext.decode("ascii", errors="replace")
    text = text.removesuffix("\n").removesuffix("\r")
    if not is_guid(text):
        raise WireError("not a GUID", what="GUID")
    return text


def parse_certificate(plaintext: bytes) -> x509.Certificate:
    """The certificate of a decrypted /whoami answer: PEM as in appendix B.3, or DER.

    The sample is an X.509 version 1 certificate that is valid for no time at all, so neither is looked at.

    Raises:
        WireError: it is no certificate, or has a key that cannot be read.
    """
    try:
        if plaintext.lstrip().startswith(b"-----BEGIN"):
            certificate = x509.load_pem_x509_certificate(plaintext)
        else:
            certificate = x509.load_der_x509_certificate(plaintext)
        certificate.public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise WireError("not a certificate", what="certificate") from error
    return certificate


def split_content_types(values: Iterable[str]) -> tuple[str, ...]:
    """Every single Content-Type, white space in one piece.

    The draft sends two of them, and folds one; HTTP libraries join such headers with commas, or keep the first or the
    last (CALE-11).
    """
    found = (" ".join(part.split()) for value in values for part in _ONE_VALUE.findall(value[:_MAX_HEADER_CHARS]))
    return tuple(part for part in found if part)


def says_nothing(content_type: str) -> bool:
    """Whether this is the Content-Type that appendix B prints before that of every envelope, whatever is in it."""
    return "".join(content_type.lower().split()) == _PRINTED_TYPE


def says_encrypted(content_type: str) -> bool:
    """Whether one Content-Type names an encrypted CMS message, with or without x- and smime-type (CALE-12)."""
    name, *parameters = content_type.lower().split(";")
    if name.strip() not in _ENVELOPE_TYPES:
        return False
    pairs = dict(parameter.replace(" ", "").partition("=")[::2] for parameter in parameters)
    return pairs.get("smime-type", "enveloped-data").strip('"') in _SMIME_TYPES
