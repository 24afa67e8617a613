"""Reads a PKCS#10 request and checks it against the policy (EST-133, EST-143)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.est.attributes import bindings, mac_address, read_attributes
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import Policy

_PARSE_ERRORS = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)


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
        attributes = read_attributes(csr)
        extensions = csr.extensions
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
        mac_address(attributes, extensions),
        bindings(attributes),
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
