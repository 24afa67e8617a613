"""Certificates for tests of TLS; all made by pyca/cryptography, all short-lived."""

import datetime as dt
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Eku
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
SERVER = (Eku.SERVER_AUTH,)
CLIENT = (Eku.CLIENT_AUTH,)


def now():
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def general_name(value):
    try:
        return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError:
        return x509.DNSName(value)


@dataclass
class Pair:
    """A certificate, its key, and the path above it."""

    certificate: x509.Certificate
    key: object
    chain: tuple = field(default=())

    def der(self):
        return self.certificate.public_bytes(Encoding.DER)

    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM)

    def chain_pem(self):
        return b"".join(c.public_bytes(Encoding.PEM) for c in (self.certificate, *self.chain))

    def key_pem(self):
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def write(self, directory: Path, name: str):
        """Files with chain and key; their paths."""
        chain, key = directory / f"{name}.pem", directory / f"{name}.key"
        chain.write_bytes(self.chain_pem())
        key.write_bytes(self.key_pem())
        return str(chain), str(key)


def _build(subject, issuer, public_key, signer, extensions, *, start, end):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


class Ca(Pair):
    """A CA, root or below another."""

    def __init__(self, name="Test Root", parent=None, usages=()):
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [(x509.BasicConstraints(ca=True, path_length=None), True)]
        extensions.append((x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False))
        if usages:
            extensions.append((x509.ExtendedKeyUsage(usages), False))
        issuer = parent.certificate.subject if parent else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent.key if parent else key
        certificate = _build(
            name, issuer, key.public_key(), signer, extensions, start=now() - 30 * DAY, end=now() + 30 * DAY
        )
        super().__init__(certificate, key, (certificate, *parent.chain) if parent else ())

    def issue(self, *names, usages=SERVER, key=None, subject="leaf", start=None, end=None, key_usage=None) -> Pair:
        """A leaf for DNS names and addresses; `key` may be any private key object."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        extensions = [(x509.BasicConstraints(ca=False, path_length=None), True)]
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False))
        if names:
            extensions.append((x509.SubjectAlternativeName([general_name(name) for name in names]), False))
        if usages:
            extensions.append((x509.ExtendedKeyUsage(usages), False))
        if key_usage:
            extensions.append((key_usage, True))
        certificate = _build(
            subject,
            self.certificate.subject,
            key.public_key(),
            self.key,
            extensions,
            start=start or now() - DAY,
            end=end or now() + DAY,
        )
        return Pair(certificate, key, self.chain)
