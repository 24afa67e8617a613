"""The extensions a request may ask for: each is given as it was asked for, or the request is refused (EST-140, EST-143).

RFC 5272 section 3.1: a server must not change an extension so that its intent is lost.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from device_sdk_simulators.ca.issue import SUBJECT_DIRECTORY_ATTRIBUTES, asked_usages
from device_sdk_simulators.http.messages import HttpError
from device_sdk_simulators.policy import Policy

_LONGEST = 4096
_MOST_OF_OTHERS = 1024
_MOST_CHARACTERS = dict.fromkeys(
    (
        x509.NameOID.COMMON_NAME,
        x509.NameOID.ORGANIZATION_NAME,
        x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
        x509.NameOID.SERIAL_NUMBER,
    ),
    64,
)
_DNS_NAME = re.compile(
    r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)


def check_extensions(
    csr: x509.CertificateSigningRequest, extensions: x509.Extensions, key: CertificatePublicKeyTypes, policy: Policy
) -> None:
    """HttpError 400 for an extension this server does not give, or not so; 403 for a name that is not the client's."""
    names = [one.value for one in extensions if isinstance(one.value, x509.SubjectAlternativeName)]
    if not list(csr.subject) and not any(map(list, names)):
        raise HttpError(400, "the request names nobody: no subject and no subjectAltName")
    check_names(csr.subject, names, policy)
    _check_characters(csr.subject, names)
    for extension in extensions:
        _check(extension, key, policy)


def check_names(subject: x509.Name, alternatives: Iterable[x509.SubjectAlternativeName], policy: Policy) -> None:
    """HttpError 403 for a certificate with which a device could pose as this server to the others of its CA."""
    asked = {str(one.value) for one in subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
    for names in alternatives:
        asked |= {*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))}
    for name in sorted(asked):
        if any(_covers(name, own) for own in policy.own_names):
            raise HttpError(403, f"{name} is a name of this server")


def _check_characters(subject: x509.Name, alternatives: Iterable[x509.SubjectAlternativeName]) -> None:
    """HttpError 400 for names of no, or too many, or invisible characters (RFC 5280 sections 4.1.2.6, 4.2.1.6, A.1)."""
    for attribute in subject:
        text = attribute.value
        if isinstance(text, str) and not 1 <= len(text) <= _MOST_CHARACTERS.get(attribute.oid, _MOST_OF_OTHERS):
            raise HttpError(
                400,
                f"a {attribute.rfc4514_attribute_name} has 1 to {_MOST_CHARACTERS.get(attribute.oid, _MOST_OF_OTHERS)} characters (RFC 5280 section A.1)",
            )
        if isinstance(text, str) and any(unicodedata.category(one) == "Cc" for one in text):
            raise HttpError(400, f"a {attribute.rfc4514_attribute_name} has no control characters")
    for names in alternatives:
        for name in names.get_values_for_type(x509.DNSName):
            if not _DNS_NAME.fullmatch(name):
                raise HttpError(400, "a dNSName is not a name of the DNS (RFC 5280 section 4.2.1.6)")


def _covers(asked: str, own: str) -> bool:
    """Whether a certificate for `asked` would do for `own`, by the most lenient reading of wildcards and addresses."""
    try:
        return ip_address(asked) == ip_address(own)
    except ValueError:
        labels, others = (name.lower().removesuffix(".").split(".") for name in (asked, own))
    same = len(labels) == len(others) and labels[1:] == others[1:]
    return same and (labels[0] == others[0] or "*" in labels[0])


def _check(extension: x509.Extension[x509.ExtensionType], key: CertificatePublicKeyTypes, policy: Policy) -> None:
    value, oid = extension.value, extension.oid
    if isinstance(value, x509.BasicConstraints):
        _check_constraints(value)
    elif isinstance(value, x509.ExtendedKeyUsage):
        refused = {usage.dotted_string for usage in value} - policy.extended_key_usages
        if refused:
            raise HttpError(400, f"extended key usage {', '.join(sorted(refused))} is not given")
    elif isinstance(value, x509.KeyUsage):
        _check_key_usage(value, key)
    elif isinstance(value, x509.SubjectKeyIdentifier) or oid == SUBJECT_DIRECTORY_ATTRIBUTES:
        if extension.critical:
            raise HttpError(400, f"extension {oid.dotted_string} is never critical (RFC 5280 section 4.2.1)")
        if len(extension.value.public_bytes()) > _LONGEST:
            raise HttpError(400, f"extension {oid.dotted_string} has more than {_LONGEST} bytes")
        if isinstance(value, x509.SubjectKeyIdentifier) and value != x509.SubjectKeyIdentifier.from_public_key(key):
            # one that names somebody else's key would have that one's secrets encrypted to this one
            raise HttpError(400, "the subjectKeyIdentifier is not that of the key (RFC 5280 section 4.2.1.2, method 1)")
    elif not isinstance(value, x509.SubjectAlternativeName) and oid.dotted_string not in _copied(policy):
        raise HttpError(400, f"extension {oid.dotted_string} is not supported here (unsupportedExt)")


def _check_constraints(value: x509.BasicConstraints) -> None:
    if value.ca:
        raise HttpError(400, "this server issues no CA certificates")


def _copied(policy: Policy) -> set[str]:
    """What is copied without being understood: what the policy says, and what /csrattrs itself asked for."""
    return policy.copied_extensions | {one.oid for demand in policy.demands for one in demand.extensions}


def _check_key_usage(usage: x509.KeyUsage, key: CertificatePublicKeyTypes) -> None:
    possible = {"digital_signature", "content_commitment"}
    if isinstance(key, rsa.RSAPublicKey):
        possible |= {"key_encipherment", "data_encipherment"}
    elif isinstance(key, ec.EllipticCurvePublicKey):
        possible |= {"key_agreement", "encipher_only", "decipher_only"}
    asked = asked_usages(usage)
    if not asked or asked - possible:
        words = ", ".join(sorted(asked - possible)).replace("_", " ") or "none at all"
        raise HttpError(400, f"key usage is not given: {words}")
