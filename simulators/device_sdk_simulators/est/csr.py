"""Reads a PKCS#10 request and checks it against the policy (EST-133, EST-135, EST-143)."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from device_sdk_simulators.est.attributes import bindings, mac_address, read_attributes
from device_sdk_simulators.est.ber import to_der
from device_sdk_simulators.est.csr_extensions import check_extensions
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import Policy

DeviceKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
"""A key that can sign."""

NO_SIGNATURE = "1.3.6.1.5.5.7.6.2"
_SIGNING_KEYS = (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
_ELSEWHERE = "the signature proves possession of the key here, other proofs need /fullcmc (RFC 7030 section 4.2.1)"
PARSE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What the cryptography package raises for requests that it cannot read."""
_MOST_RSA_BITS = 8192
_LEAST_RSA_EXPONENT, _MOST_EXPONENT_BITS = 65537, 256


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
    public_key: DeviceKey
    extensions: x509.Extensions
    spki_sha256: str
    mac_address: str | None
    bindings: tuple[str, ...]


def read_csr(der: bytes, policy: Policy) -> CertificationRequest:
    """Parse and check; HttpError 400 says what is wrong with it, and 403 that a name is this server's own."""
    csr = parse_csr(der)
    key = _signing_key(csr)
    digest = _digest(csr)
    check_key(key, policy)
    if digest == "md5" or (digest == "sha1" and not policy.allow_sha1):
        raise HttpError(400, f"the request is signed with {digest}; SHA-256 or better is needed")
    if not (_is_good_sha1(csr, key) if digest == "sha1" else csr.is_signature_valid):
        raise HttpError(400, "the signature of the request is not one by the key in it")
    return _contents(csr, key, policy)


def _contents(csr: x509.CertificateSigningRequest, key: DeviceKey, policy: Policy) -> CertificationRequest:
    try:
        attributes = read_attributes(csr)
        extensions = csr.extensions
        check_extensions(csr, extensions, key, policy)  # names are parsed when they are looked at
    except PARSE_ERRORS as error:
        raise HttpError(400, f"not a PKCS#10 request this server can read: {error}") from error
    return CertificationRequest(
        csr, key, extensions, spki_sha256(key), mac_address(attributes, extensions), bindings(attributes)
    )


def parse_csr(der: bytes) -> x509.CertificateSigningRequest:
    """The request, from DER or else from BER (EST-40); HttpError 400."""
    with suppress(*PARSE_ERRORS):
        return x509.load_der_x509_csr(der)
    try:
        return x509.load_der_x509_csr(to_der(der))
    except PARSE_ERRORS as error:
        raise HttpError(400, f"not a PKCS#10 request this server can read: {error}") from error


def _signing_key(csr: x509.CertificateSigningRequest) -> DeviceKey:
    """HttpError 400 for a key that cannot prove by a signature that the client has it (EST-135)."""
    try:
        if csr.signature_algorithm_oid.dotted_string == NO_SIGNATURE:
            raise HttpError(400, f"the request is not signed; {_ELSEWHERE}")
        key = csr.public_key()
    except PARSE_ERRORS as error:
        raise HttpError(400, f"the key cannot be read, or is of a kind unknown here: {error}") from error
    if not isinstance(key, _SIGNING_KEYS):
        raise HttpError(400, f"the key cannot sign; {_ELSEWHERE}")
    return key


def _digest(csr: x509.CertificateSigningRequest) -> str | None:
    try:
        digest = csr.signature_hash_algorithm
    except PARSE_ERRORS as error:
        raise HttpError(400, f"the signature algorithm is unknown here: {error}") from error
    return digest.name if digest else None


def _is_good_sha1(csr: x509.CertificateSigningRequest, key: DeviceKey) -> bool:
    """Whether a signature with SHA-1 is one by this key: `is_signature_valid` is never true of those."""
    signature, data, sha1 = csr.signature, csr.tbs_certrequest_bytes, hashes.SHA1()  # noqa: S303 - by policy only
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(sha1))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), sha1)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def spki_sha256(public_key: DeviceKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, hex."""
    spki = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def check_key(public_key: DeviceKey, policy: Policy) -> None:
    """HttpError 400 for a key the policy finds too weak or strange."""
    if isinstance(public_key, rsa.RSAPublicKey):
        _check_rsa(public_key, policy)
        return
    name = _curve(public_key)
    if name not in policy.curves:
        raise HttpError(400, f"curve {name} is not accepted; {', '.join(policy.curves) or 'only RSA'} is")


def _check_rsa(public_key: rsa.RSAPublicKey, policy: Policy) -> None:
    if not policy.rsa_keys:
        raise HttpError(400, "RSA keys are not accepted here")
    if not policy.min_rsa_bits <= public_key.key_size <= _MOST_RSA_BITS:
        raise HttpError(400, f"RSA keys have {policy.min_rsa_bits} to {_MOST_RSA_BITS} bits here")
    exponent = public_key.public_numbers().e
    if exponent < _LEAST_RSA_EXPONENT or exponent % 2 == 0 or exponent.bit_length() > _MOST_EXPONENT_BITS:
        # FIPS 186-5 section A.1.1
        raise HttpError(
            400, f"the RSA exponent is odd, at least {_LEAST_RSA_EXPONENT} and below 2^{_MOST_EXPONENT_BITS}"
        )


def key_name(public_key: DeviceKey) -> str:
    """The key's kind as options and demands call it: "ec-p256", "rsa-3072", "ed25519"."""
    if isinstance(public_key, rsa.RSAPublicKey):
        return f"rsa-{public_key.key_size}"
    return f"ec-p{public_key.key_size}" if isinstance(public_key, ec.EllipticCurvePublicKey) else _curve(public_key)


def _curve(public_key: DeviceKey) -> str:
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return "ed25519"
    if isinstance(public_key, ed448.Ed448PublicKey):
        return "ed448"
    return public_key.curve.name if isinstance(public_key, ec.EllipticCurvePublicKey) else "?"
