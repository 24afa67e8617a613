"""What is looked at in one certificate: dates, CA flags, critical extensions, names for messages (RFC 5280 sections 4.2, 6.1)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

from device_sdk.wire.relations import Relations
from device_sdk.wire.same_name import same_name

ExtensionT = TypeVar("ExtensionT", bound=x509.ExtensionType)

CLOCK_ALLOWANCE = timedelta(minutes=5)

_PROCESSED = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.CERTIFICATE_POLICIES,
    ExtensionOID.POLICY_MAPPINGS,
    ExtensionOID.POLICY_CONSTRAINTS,
    ExtensionOID.INHIBIT_ANY_POLICY,
}


def is_self_issued(certificate: x509.Certificate) -> bool:
    """Subject and issuer are the same name; true for roots and for rollover certificates (EST-121)."""
    return same_name(certificate.subject, certificate.issuer)


def is_self_signed(certificate: x509.Certificate, relations: Relations | None = None) -> bool:
    """Self-issued, and the signature verifies with the certificate's own key."""
    return issued_by(certificate, certificate, relations)


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate, relations: Relations | None = None) -> bool:
    """The issuer's name is the one named and its key made the signature; says nothing about CA flags or validity.

    Args:
        certificate: whose signature is checked.
        issuer: whose key made it, perhaps.
        relations: of the answer both are from, where there are many to compare.
    """
    return (relations or Relations()).issued_by(certificate, issuer)


def validity_problem(
    certificate: x509.Certificate, now: datetime, allowance: timedelta = CLOCK_ALLOWANCE
) -> str | None:
    """Why a certificate is not valid now, give or take the allowance for wrong clocks; None if it is.

    Compares differences, so that notAfter 99991231235959Z does not overflow (EST-32).
    """
    if certificate.not_valid_before_utc - now > allowance:
        return f"not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}"
    if now - certificate.not_valid_after_utc > allowance:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    return None


def ca_problem(certificate: x509.Certificate, relations: Relations | None = None) -> str | None:
    """Why a certificate cannot issue others; None if it can.

    BasicConstraints with cA and, where there is a KeyUsage, keyCertSign. A self-issued certificate that is not
    self-signed must have both (EST-123). The key is one whose signatures can be checked at a bearable cost.
    """
    relations = relations or Relations()
    constraints = extension_value(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        return "not a CA certificate (BasicConstraints)"
    usage = extension_value(certificate, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        return "not a CA certificate (KeyUsage lacks keyCertSign)"
    if problem := relations.key_problem(certificate):
        return problem
    if usage is None and is_self_issued(certificate) and not relations.issued_by(certificate, certificate):
        return "a rollover certificate without KeyUsage keyCertSign"
    return None


def critical_problem(certificate: x509.Certificate, processed: Collection[x509.ObjectIdentifier] = ()) -> str | None:
    """The first critical extension that is not processed here (RFC 5280 section 4.2); None if there is none.

    Args:
        certificate: whose.
        processed: those that the caller processes himself.
    """
    known = {*_PROCESSED, *processed}
    unknown = (ext.oid.dotted_string for ext in certificate.extensions if ext.critical and ext.oid not in known)
    oid = next(unknown, None)
    return f"critical extension {oid} that this SDK does not process" if oid else None


def name_of(certificate: x509.Certificate) -> str:
    """A certificate in an error message: its subject, or its serial number if that is empty; at most 200 characters."""
    text = certificate.subject.rfc4514_string() or f"serial {certificate.serial_number:x}"
    return "".join(char if char.isprintable() else "?" for char in text)[:200]


def hash_problem(certificate: x509.Certificate) -> str | None:
    """Why a signature is not even looked at, hashes that can be forged; None if it is."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "signed with an unknown algorithm"
    weak = algorithm is not None and algorithm.name in ("sha1", "md5")
    return f"signed with {algorithm.name}, which is not accepted" if algorithm and weak else None


def extension_value(certificate: x509.Certificate, kind: type[ExtensionT]) -> ExtensionT | None:
    """The value of an extension, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
