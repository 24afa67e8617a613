"""Makes device certificates: the profile, and nothing about who may have one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import digest_for

CMC_RA = "1.3.6.1.5.5.7.3.28"
SUBJECT_DIRECTORY_ATTRIBUTES = x509.ObjectIdentifier("2.5.29.9")


@dataclass(frozen=True)
class Wish:
    """What a certificate shall say, already checked.

    Attributes:
        subject: may be empty if there are alternative names.
        public_key: the device's.
        extensions: those of the CSR; those a client may ask for go into the certificate.
        not_before: begin of validity.
        not_after: end of validity.
    """

    subject: x509.Name
    public_key: CertificatePublicKeyTypes
    extensions: x509.Extensions
    not_before: datetime
    not_after: datetime


def issue(issuer: Authority, wish: Wish) -> x509.Certificate:
    """Sign a device certificate: what was asked for; unless it was, key usage by key type and EKU clientAuth."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(wish.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(wish.public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(wish.not_before)
        .not_valid_after(min(wish.not_after, issuer.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    for value, critical in _profile(wish).values():
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(issuer.key, digest_for(issuer.key))


def _profile(wish: Wish) -> dict[x509.ObjectIdentifier, tuple[x509.ExtensionType, bool]]:
    """Extensions and whether they are critical: what every certificate has, replaced by what was asked for."""
    found: dict[x509.ObjectIdentifier, tuple[x509.ExtensionType, bool]] = {
        x509.KeyUsage.oid: (key_usage(wish.public_key), True),
        x509.SubjectKeyIdentifier.oid: (x509.SubjectKeyIdentifier.from_public_key(wish.public_key), False),
        x509.ExtendedKeyUsage.oid: (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    }
    for extension in wish.extensions:
        critical = extension.critical
        if isinstance(extension.value, (x509.BasicConstraints, x509.AuthorityKeyIdentifier, x509.SubjectKeyIdentifier)):
            continue
        if isinstance(extension.value, x509.SubjectAlternativeName):
            # RFC 5280 section 4.2.1.6: critical where the subject is empty, and should not be otherwise
            critical = not list(wish.subject)
        found[extension.oid] = (extension.value, critical or isinstance(extension.value, x509.KeyUsage))
    return found


def asked_usages(usage: x509.KeyUsage) -> set[str]:
    """The bits that are set, by the names of `x509.KeyUsage`."""
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"]
    names += ["key_cert_sign", "crl_sign", *(("encipher_only", "decipher_only") if usage.key_agreement else ())]
    return {name for name in names if getattr(usage, name)}


def key_usage(public_key: CertificatePublicKeyTypes) -> x509.KeyUsage:
    """Signing, with keyEncipherment for RSA and keyAgreement for EC."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=isinstance(public_key, rsa.RSAPublicKey),
        data_encipherment=False,
        key_agreement=isinstance(public_key, ec.EllipticCurvePublicKey),
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
