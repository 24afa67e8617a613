"""The certificates the authorization server makes for one request, and what the other servers read in them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import digest_for

AUTHORITY_NAME = "CALE Authorization Server"
MAX_LIFETIME = timedelta(seconds=60)


class NotAcceptedError(Exception):
    """A certificate that says nothing to this server."""


@dataclass(frozen=True)
class Owner:
    """Whose data a request is about (CALE-56).

    Attributes:
        name: CN, the resource owner.
        organization: the DCs joined to a domain name; empty if there are none.
        scopes: the OUs.
    """

    name: str
    organization: str = ""
    scopes: tuple[str, ...] = ()


def make_certificate(
    issuer: Authority,
    owner: Owner,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    not_before: datetime,
    not_after: datetime,
    capabilities: x509.UnrecognizedExtension | None = None,
) -> x509.Certificate:
    """A certificate for encryption only (CALE-53): no serverAuth, no clientAuth, identity as directoryName in the SAN.

    `capabilities` is what the owner says the key decrypts (RFC 4262), for whoever encrypts to it.
    """
    domain = [part for part in reversed(owner.organization.split(".")) if part]
    attributes = [x509.NameAttribute(NameOID.DOMAIN_COMPONENT, part) for part in domain]
    attributes += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, scope) for scope in owner.scopes]
    name = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, owner.name)])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=isinstance(public_key, rsa.RSAPublicKey),
        data_encipherment=False,
        key_agreement=isinstance(public_key, ec.EllipticCurvePublicKey),
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, owner.name)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(public_key)
        .serial_number(new_serial())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DirectoryName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if capabilities is not None:
        builder = builder.add_extension(capabilities, critical=False)
    return builder.sign(issuer.key, digest_for(issuer.key))


def new_serial() -> int:
    """A random serial number that is always 16 bytes long, so that its length tells a decoy from nothing (CALE-36)."""
    return secrets.randbits(126) | 1 << 126


def accept_certificate(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    now: datetime,
    *,
    skew: timedelta = timedelta(0),
    max_lifetime: timedelta = MAX_LIFETIME,
) -> Owner:
    """Whose certificate this is, after the checks of CALE-55; NotAcceptedError.

    Args:
        certificate: what came in CALE-PEM.
        issuer: the authorization server's CA.
        now: the time.
        skew: how far outside of its validity it still counts.
        max_lifetime: the longest validity that counts.
    """
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise NotAcceptedError("not issued by the authorization server") from error
    if not certificate.not_valid_before_utc - skew <= now <= certificate.not_valid_after_utc + skew:
        raise NotAcceptedError("expired, or not valid yet")
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > max_lifetime:
        raise NotAcceptedError("valid for longer than a request takes")
    try:
        _check_usage(certificate)
        return owner_of(certificate)
    except (ValueError, TypeError, x509.DuplicateExtension, x509.ExtensionNotFound) as error:
        raise NotAcceptedError("extensions are missing or cannot be read") from error


def _check_usage(certificate: x509.Certificate) -> None:
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    if not (usage.key_encipherment or usage.key_agreement):
        raise NotAcceptedError("not for encryption")
    if usage.key_cert_sign:
        raise NotAcceptedError("the certificate of a CA")


def owner_of(certificate: x509.Certificate) -> Owner:
    """The identity in the SAN's directoryName, or in the subject without one; NotAcceptedError if there is not just one."""
    name = certificate.subject
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = alternatives.get_values_for_type(x509.DirectoryName)
        if len(found) > 1:
            raise NotAcceptedError("not exactly one owner")
        name = found[0] if found else name
    except x509.ExtensionNotFound:
        pass
    names = [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if len(names) != 1:
        raise NotAcceptedError("not exactly one owner")
    domain = [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.DOMAIN_COMPONENT)]
    scopes = [str(attribute.value) for attribute in name.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)]
    return Owner(names[0], ".".join(reversed(domain)), tuple(scopes))
