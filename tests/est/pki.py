"""Certificates for these tests, made with cryptography: any shape a CA might send, right or wrong."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


CA_USAGE = x509.KeyUsage(False, False, False, False, False, True, True, False, False)


@dataclass
class Ca:
    """A CA key with a certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def root(cls, common_name: str = "Root", *, key: ec.EllipticCurvePrivateKey | None = None, **options) -> Ca:
        key = key or new_key()
        certificate = make(name(common_name), key.public_key(), name(common_name), key, ca=True, **options)
        return cls(key, certificate)

    def issue_ca(self, common_name: str, *, key: ec.EllipticCurvePrivateKey | None = None, **options) -> Ca:
        key = key or new_key()
        certificate = make(name(common_name), key.public_key(), self.certificate.subject, self.key, ca=True, **options)
        return Ca(key, certificate)

    def certify(self, subject: x509.Name | str, public_key, **options) -> x509.Certificate:
        subject = name(subject) if isinstance(subject, str) else subject
        return make(subject, public_key, self.certificate.subject, self.key, **options)

    def certify_csr(self, der: bytes, **options) -> x509.Certificate:
        csr = x509.load_der_x509_csr(der)
        assert csr.is_signature_valid
        extensions = [(ext.value, ext.critical) for ext in csr.extensions]
        return self.certify(csr.subject, csr.public_key(), extensions=extensions, **options)


def make(
    subject: x509.Name,
    public_key,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    path_length: int | None = None,
    usage: x509.KeyUsage | None = None,
    not_before: datetime = NOW - DAY,
    not_after: datetime = NOW + 365 * DAY,
    extensions: list[tuple[x509.ExtensionType, bool]] | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        builder = builder.add_extension(usage or CA_USAGE, critical=True)
    for value, critical in extensions or []:
        builder = builder.add_extension(value, critical)
    return builder.sign(signer, hashes.SHA256())


def server_certificate(
    ca: Ca, host: str = "127.0.0.1", **options
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = new_key()
    extensions = [
        (x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    return ca.certify("EST server", key.public_key(), extensions=extensions, **options), key


def pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def certs_only(*certificates: x509.Certificate) -> bytes:
    """DER of a certs-only message; cryptography sorts the certificates as DER wants it."""
    if not certificates:
        return bytes.fromhex("302306092a864886f70d010702a016301402010131 00300b06092a864886f70d0107013100")
    return pkcs7.serialize_certificates(list(certificates), Encoding.DER)


def certs_only_in_order(*certificates: x509.Certificate) -> bytes:
    """The same by hand, with the certificates in the order given."""

    def tlv(tag: int, *parts: bytes) -> bytes:
        content = b"".join(parts)
        return bytes([tag, 0x83]) + len(content).to_bytes(3, "big") + content

    signed = tlv(
        0x30,
        bytes.fromhex("020101 3100 300b06092a864886f70d010701"),
        tlv(0xA0, *(der(one) for one in certificates)),
        b"\x31\x00",
    )
    return tlv(0x30, bytes.fromhex("06092a864886f70d010702"), tlv(0xA0, signed))


def one_line(data: bytes) -> bytes:
    return base64.b64encode(data) + b"\n"


@dataclass
class Rollover:
    """The four certificates of RFC 4210 section 4.4, all of one name."""

    old: Ca = field(default_factory=lambda: Ca.root("EST CA", not_before=NOW - 30 * DAY, not_after=NOW + 30 * DAY))
    new: Ca = field(default_factory=lambda: Ca.root("EST CA"))
    old_with_new: x509.Certificate = field(init=False)
    new_with_old: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        subject = self.old.certificate.subject
        public = self.old.key.public_key(), self.new.key.public_key()
        until = NOW + 30 * DAY
        self.old_with_new = make(subject, public[0], subject, self.new.key, ca=True, not_after=until)
        self.new_with_old = make(subject, public[1], subject, self.old.key, ca=True, not_after=until)
