"""The CA's own certificates: a root that signs an issuing CA that signs everything else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from device_sdk_simulators.ca.keys import (
    CaKey,
    UnusableFileError,
    digest_for,
    load_key,
    new_key,
    pem,
    write_file,
    write_key,
)

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: CaKey = field(repr=False)


@dataclass(frozen=True)
class Hierarchy:
    """Root and issuing CA of one server."""

    root: Authority
    issuing: Authority

    @property
    def bag(self) -> tuple[x509.Certificate, ...]:
        """What /cacerts gives (EST-115): the root and every CA below it."""
        return (self.root.certificate, self.issuing.certificate)


def make_authority(name: str, key: CaKey, now: datetime, issuer: Authority | None = None) -> Authority:
    """A CA certificate: self-signed without an issuer; an issuing CA (pathLen 0) with one."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY * (3650 if issuer is None else 1825))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else None), critical=True)
        .add_extension(_CA_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return Authority(builder.sign(signer, digest_for(signer)), key)


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


def load_or_create(directory: Path, kind: str, now: datetime) -> Hierarchy:
    """The hierarchy in a directory, made at first use; the directory appears complete or not at all."""
    if not directory.exists():
        root = make_authority("Reference Root CA", new_key(kind), now)
        issuing = make_authority("Reference Issuing CA", new_key(kind), now, root)
        with _appearing(directory) as temporary:
            for name, authority in (("root", root), ("issuing", issuing)):
                write_key(temporary / f"{name}.key", authority.key)
                write_file(temporary / f"{name}.pem", pem(authority.certificate))
            write_file(temporary / "anchors.pem", pem(root.certificate), 0o644)
            write_file(temporary / "issuer.pem", pem(issuing.certificate, root.certificate), 0o644)
    return Hierarchy(_load(directory, "root"), _load(directory, "issuing"))


def single_authority(directory: Path, name: str, kind: str, now: datetime) -> Authority:
    """A self-signed CA of its own in a directory, made at first use like the hierarchy."""
    if not directory.exists():
        authority = make_authority(name, new_key(kind), now)
        with _appearing(directory) as temporary:
            write_key(temporary / "root.key", authority.key)
            write_file(temporary / "root.pem", pem(authority.certificate))
    return _load(directory, "root")


@contextmanager
def _appearing(directory: Path) -> Iterator[Path]:
    """A directory to fill, which gets its name when it is complete."""
    temporary = directory.with_name(f".{directory.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _load(directory: Path, name: str) -> Authority:
    file = directory / f"{name}.pem"
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError as error:
        raise UnusableFileError(f"{file} holds no certificate: {error}") from error
    return Authority(certificate, load_key(directory / f"{name}.key"))
