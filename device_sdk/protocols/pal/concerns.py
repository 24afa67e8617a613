"""Which certificate an entry is about (RFC 8295 section 2.1; P-10, P-11, AMB-11)."""

from __future__ import annotations

from cryptography import x509

from device_sdk.protocols.pal.types import PackageType
from device_sdk.wire.pal import CertificateName, IssuerSerial

_KEY_ESTABLISHMENT = range(13, 20)


def names(name: CertificateName, certificate: x509.Certificate) -> bool:
    """Whether this is the certificate that an entry names.

    Args:
        name: subject, subject key identifier, or issuer and serial number.
        certificate: the one in question.
    """
    if isinstance(name, IssuerSerial):
        return name.serial == certificate.serial_number and _same(name.issuer, certificate.issuer)
    if isinstance(name, str):
        return _same(name, certificate.subject)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        found = x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest  # RFC 5280 section 4.2.1.2
    return name == found


def is_key_establishment(kind: PackageType) -> bool:
    """Whether a type is about a certificate for key establishment."""
    return int(kind.number) in _KEY_ESTABLISHMENT


def suits(kind: PackageType, certificate: x509.Certificate) -> bool:
    """Whether a certificate is of the use a type of enrolment is about: for signatures, or for key establishment alone."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        signs = usage.digital_signature or not (usage.key_agreement or usage.key_encipherment)
    except x509.ExtensionNotFound:
        signs = True
    return signs is not is_key_establishment(kind)


def _same(text: str, name: x509.Name) -> bool:
    try:
        return x509.Name.from_rfc4514_string(text) == name
    except ValueError:
        return text == name.rfc4514_string()
