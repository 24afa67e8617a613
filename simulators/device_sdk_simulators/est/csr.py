"""Reads a PKCS#10 request and checks it against the policy (EST-133, EST-143)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pyasn1.codec.der.decoder import decode
from pyasn1.error import PyAsn1Error
from pyasn1_alt_modules import rfc5280

from device_sdk_simulators.ca.issue import SUBJECT_DIRECTORY_ATTRIBUTES
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import MAC_ADDRESS, Policy

CHALLENGE_PASSWORD = "1.2.840.113549.1.9.7"  # noqa: S105 - an object identifier
EST_IDENTITY_LINKING = "1.2.840.113549.1.9.16.2.58"
_IA5_STRING = 22
_STRING_TAGS = (12, 19, 20, 22, 28, 30)
_PARSE_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


@dataclass(frozen=True)
class CertificationRequest:
    """A CSR whose signature and contents were checked.

    Attributes:
        csr: as cryptography parsed it.
        public_key: the key to certify.
        extensions: what the extensionRequest attribute asks for.
        spki_sha256: SHA-256 of the DER SubjectPublicKeyInfo, hex.
        mac_address: of the macAddress attribute, wherever in the CSR it is; or None.
        bindings: values of challengePassword and estIdentityLinking that are not empty (EST-94).
    """

    csr: x509.CertificateSigningRequest
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey
    extensions: x509.Extensions
    spki_sha256: str
    mac_address: str | None
    bindings: tuple[str, ...]


def read_csr(der: bytes, policy: Policy) -> CertificationRequest:
    """Parse and check; HttpError 400 says what is wrong with it."""
    try:
        csr = x509.load_der_x509_csr(der)
        public_key = csr.public_key()
        extensions = csr.extensions
        attributes = {attribute.oid.dotted_string: (attribute._type, attribute.value) for attribute in csr.attributes}
        digest = csr.signature_hash_algorithm
    except _PARSE_ERRORS as error:
        raise HttpError(400, f"not a PKCS#10 request this server can read: {error}") from error
    if not isinstance(public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise HttpError(400, "the key must be EC or RSA")
    check_key(public_key, policy)
    if digest is not None and digest.name in ("md5", "sha1") and not policy.allow_sha1:
        raise HttpError(400, f"the request is signed with {digest.name}; SHA-256 or better is needed")
    if not csr.is_signature_valid:
        raise HttpError(400, "the signature of the request is not one by the key in it")
    _check_extensions(csr, extensions, policy)
    return CertificationRequest(
        csr,
        public_key,
        extensions,
        spki_sha256(public_key),
        _mac_address(attributes, extensions),
        _bindings(attributes),
    )


def spki_sha256(public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, hex."""
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def check_key(public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, policy: Policy) -> None:
    """HttpError 400 for a key the policy finds too weak or strange."""
    if isinstance(public_key, rsa.RSAPublicKey):
        if not policy.min_rsa_bits <= public_key.key_size <= 8192:
            raise HttpError(400, f"RSA keys have {policy.min_rsa_bits} to 8192 bits here")
    elif public_key.curve.name not in policy.curves:
        raise HttpError(400, f"curve {public_key.curve.name} is not accepted; {', '.join(policy.curves)} are")


def _check_extensions(csr: x509.CertificateSigningRequest, extensions: x509.Extensions, policy: Policy) -> None:
    if not list(csr.subject) and not any(extension.oid == x509.SubjectAlternativeName.oid for extension in extensions):
        raise HttpError(400, "the request names nobody: no subject and no subjectAltName")
    for extension in extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            raise HttpError(400, "this server issues no CA certificates")
        if isinstance(extension.value, x509.ExtendedKeyUsage):
            refused = {usage.dotted_string for usage in extension.value} - policy.extended_key_usages
            if refused:
                raise HttpError(400, f"extended key usage {', '.join(sorted(refused))} is not given")


def _bindings(attributes: dict[str, tuple[int, bytes]]) -> tuple[str, ...]:
    values = []
    for oid in (CHALLENGE_PASSWORD, EST_IDENTITY_LINKING):
        tag, value = attributes.get(oid, (19, b""))
        if tag not in _STRING_TAGS or len(value) > 255:
            raise HttpError(400, f"attribute {oid} is not a DirectoryString of at most 255 characters")
        if value:
            values.append(value.decode("latin-1"))
    return tuple(values)


def _mac_address(attributes: dict[str, tuple[int, bytes]], extensions: x509.Extensions) -> str | None:
    """From a PKCS#10 attribute or from subjectDirectoryAttributes (RFC 9908 section 5.2)."""
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
        for attribute in attributes:
            if str(attribute["type"]) == MAC_ADDRESS:
                value, _rest = decode(bytes(attribute["values"][0]))
                return _readable(bytes(value))
    except (PyAsn1Error, IndexError, ValueError, TypeError) as error:
        raise HttpError(400, "subjectDirectoryAttributes cannot be read") from error
    return None


def _readable(value: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in value[:64])
