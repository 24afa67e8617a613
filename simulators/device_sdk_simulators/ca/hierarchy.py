"""The CA's own certificates: a root that signs an issuing CA that signs everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from device_sdk_simulators.ca.keys import CaKey, digest_for

ROOT_LIFETIME = timedelta(days=3650)
ISSUING_LIFETIME = timedelta(days=1825)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: CaKey = field(repr=False)


@dataclass(frozen=True)
class Generation:
    """A root key, the issuing CA below it, and what ties it to the root key before (RFC 4210 section 4.4).

    Attributes:
        root: self-signed.
        issuing: the issuing CA.
        old_with_new: the root key before, signed by this one; None for the first generation.
        new_with_old: this root key, signed by the one before; None for the first generation.
    """

    root: Authority
    issuing: Authority
    old_with_new: x509.Certificate | None = None
    new_with_old: x509.Certificate | None = None


@dataclass(frozen=True)
class Hierarchy:
    """One CA at one moment.

    Attributes:
        root: of the generation that issues.
        issuing: of the generation that issues.
        others: further generations in service: published and not issuing yet, or replaced and not retired yet.
        links: OldWithNew and NewWithOld between the generations in service.
        retired: issuing CAs that are not in service any more.
    """

    root: Authority
    issuing: Authority
    others: tuple[Generation, ...] = ()
    links: tuple[x509.Certificate, ...] = ()
    retired: tuple[x509.Certificate, ...] = ()

    @property
    def bag(self) -> tuple[x509.Certificate, ...]:
        """What /cacerts gives (EST-115, EST-116): the roots in service, the CAs below them, and the links."""
        others = [authority.certificate for one in self.others for authority in (one.root, one.issuing)]
        return (self.root.certificate, self.issuing.certificate, *others, *self.links)

    @property
    def roots(self) -> tuple[Authority, ...]:
        """Roots in service, that of the issuing generation first."""
        return (self.root, *(one.root for one in self.others))

    @property
    def issuers(self) -> tuple[Authority, ...]:
        """Issuing CAs in service, the one that issues first."""
        return (self.issuing, *(one.issuing for one in self.others))

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What a TLS server sends with its certificate: the issuing CA, and the way to anchors of other generations."""
        key = self.root.certificate.public_key()
        return (self.issuing.certificate, *(link for link in self.links if link.public_key() == key))


def make_authority(
    name: str,
    key: CaKey,
    now: datetime,
    issuer: Authority | None = None,
    *,
    extensions: Sequence[x509.ExtensionType] = (),
) -> Authority:
    """A CA certificate: self-signed without an issuer; an issuing CA (pathLen 0) with one."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    span = now - _DAY, now + (ROOT_LIFETIME if issuer is None else ISSUING_LIFETIME)
    if issuer is None:
        own = make_ca_certificate(subject, key.public_key(), subject, key, span, extensions=extensions)
        return Authority(own, key)
    issuer_name = issuer.certificate.subject
    certificate = make_ca_certificate(
        subject, key.public_key(), issuer_name, issuer.key, span, path_length=0, extensions=extensions
    )
    return Authority(certificate, key)


def make_ca_certificate(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    issuer: x509.Name,
    signer: CaKey,
    span: tuple[datetime, datetime],
    *,
    path_length: int | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
) -> x509.Certificate:
    """A CA certificate with everything RFC 5280 section 4.2.1 wants of one: BasicConstraints, KeyUsage, key identifiers."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    for one in extensions:
        builder = builder.add_extension(one, critical=False)
    return builder.sign(signer, digest_for(signer))


_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
