"""The attributes of a PKCS#10 request: each type once, each with one value (RFC 2985 section 5.4, RFC 7894 section 3)."""

from __future__ import annotations

from typing import TypeAlias

from cryptography import x509
from pyasn1.codec.der.decoder import decode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc5280

from device_sdk_simulators.ca.issue import SUBJECT_DIRECTORY_ATTRIBUTES
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import MAC_ADDRESS

Attributes: TypeAlias = dict[str, tuple[int, bytes]]
"""Tag and content of the one value, by object identifier."""

CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"  # noqa: S105 - an object identifier
EST_IDENTITY_LINKING = "1.2.840.113549.1.9.16.2.58"
_IA5_STRING = 22
# PrintableString and UTF8String must be read, the others of DirectoryString may (RFC 7894 section 3, EST-108)
_ENCODINGS = {12: "utf-8", 19: "ascii", 20: "latin-1", 22: "ascii", 28: "utf-32-be", 30: "utf-16-be"}
MAX_CHARACTERS = 255


def read_attributes(csr: x509.CertificateSigningRequest) -> Attributes:
    """The attributes of a request; HttpError 400 for a type that is there twice and for none or several values.

    Which of two values a CA goes by is nothing a client may choose (EST-107, EST-143): X.501 has each type once in a
    set of attributes, and the types used here are SINGLE VALUE.
    """
    try:
        attributes = list(csr.attributes)
    except ValueError as error:
        raise HttpError(400, f"an attribute of the request has not exactly one value: {error}") from error
    found: Attributes = {}
    for attribute in attributes:
        oid = attribute.oid.dotted_string
        if oid in found:
            raise HttpError(400, f"attribute {oid} is in the request twice")
        found[oid] = (attribute._type, attribute.value)
    return found


def bindings(attributes: Attributes) -> tuple[str, ...]:
    """Values of challengePassword and estIdentityLinking that are not empty (EST-94); HttpError 400."""
    values = []
    for oid in (CHALLENGE_PASSWORD, EST_IDENTITY_LINKING):
        text = directory_string(*attributes.get(oid, (19, b"")))
        if text is None:
            raise HttpError(400, f"attribute {oid} is not a DirectoryString of at most {MAX_CHARACTERS} characters")
        if text:
            values.append(text)
    return tuple(values)


def directory_string(tag: int, value: bytes) -> str | None:
    """The text of a DirectoryString of at most 255 characters, or of an IA5String; None if it is something else."""
    try:
        text = value.decode(_ENCODINGS[tag])
    except (KeyError, UnicodeDecodeError):
        return None
    return text if len(text) <= MAX_CHARACTERS else None


def mac_address(attributes: Attributes, extensions: x509.Extensions) -> str | None:
    """From a PKCS#10 attribute or from subjectDirectoryAttributes (RFC 9908 section 5.2); HttpError 400."""
    if MAC_ADDRESS in attributes:
        tag, value = attributes[MAC_ADDRESS]
        return _readable(value) if tag == _IA5_STRING else None
    for extension in extensions:
        if extension.oid == SUBJECT_DIRECTORY_ATTRIBUTES and isinstance(extension.value, x509.UnrecognizedExtension):
            return _mac_in_directory_attributes(extension.value.value)
    return None


def _mac_in_directory_attributes(der: bytes) -> str | None:
    try:
        attributes, _rest = decode(der, asn1Spec=rfc5280.SubjectDirectoryAttributes())
        values = [one["values"] for one in attributes if str(one["type"]) == MAC_ADDRESS]
        if not values:
            return None
        if len(values) > 1 or len(values[0]) != 1:
            raise HttpError(400, f"attribute {MAC_ADDRESS} is in subjectDirectoryAttributes twice")
        value, _rest = decode(bytes(values[0][0]))
        return _readable(bytes(value))
    except (PyAsn1Error, IndexError, ValueError, TypeError) as error:
        raise HttpError(400, "subjectDirectoryAttributes cannot be read") from error


def _readable(value: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in value[:64])
