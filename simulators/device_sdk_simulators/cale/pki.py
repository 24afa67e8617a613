"""Certificates for the connections between the roles, and for the edge device's public side.

What a role needs is in its own directory, so that each can be carried to another machine:

    ca/                    keys of the CAs of what follows; no role needs them
    ROLE/hop/              certificate.pem, key.pem and anchors.pem for mutual TLS with the other roles
    edge/tls/              certificate.pem and key.pem for clients, who need anchors.pem
    authz/cale/            CA of the authorization server
    origin/issuer.pem      its certificate, also in resource/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device_sdk_simulators.ca.directory import single_authority
from device_sdk_simulators.ca.hierarchy import Authority
from device_sdk_simulators.ca.keys import CaKey, digest_for, load_key, new_key, pem, write_file, write_key
from device_sdk_simulators.cale.certificates import AUTHORITY_NAME
from device_sdk_simulators.cale.peers import fingerprint

ROLES = ("edge", "authz", "origin", "resource")
_DAY = timedelta(days=1)
_BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class KeyFiles:
    """Where a certificate and what belongs to it are.

    Attributes:
        certificate: PEM, the leaf first.
        key: PEM.
        anchors: PEM with the CAs of the other side.
    """

    certificate: Path
    key: Path
    anchors: Path

    @classmethod
    def below(cls, directory: Path) -> KeyFiles:
        """The three files by their usual names."""
        return cls(directory / "certificate.pem", directory / "key.pem", directory / "anchors.pem")

    def complete(self) -> bool:
        """Whether all of them are there."""
        return all(path.exists() for path in (self.certificate, self.key, self.anchors))


def make_pki(
    directory: Path, now: datetime, *, names: Mapping[str, str] | None = None, public_names: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    """Make what is missing; what is there stays.

    Args:
        directory: see the module.
        now: begin of validity.
        names: names of the roles in their hop certificates, where they are not the roles' own.
        public_names: names and addresses of the edge device for its clients, beside those of the loopback interface.

    Returns:
        For each role the name and the SHA-256 of its hop certificate, to be listed by others.
    """
    hop_ca = single_authority(directory / "ca" / "hop", "CALE Hop CA", "ec-p256", now)
    made = {}
    for role in ROLES:
        name = (names or {}).get(role, role)
        certificate = _make_files(directory / role / "hop", hop_ca, [name], _BOTH, now)
        made[role] = {"name": name, "sha256": fingerprint(certificate)}
    make_public(directory, now, public_names, directory / "edge" / "tls")
    issuer = single_authority(directory / "authz" / "cale", AUTHORITY_NAME, "ec-p256", now)
    for role in ("origin", "resource"):
        write_missing(directory / role / "issuer.pem", pem(issuer.certificate))
    return made


def make_public(directory: Path, now: datetime, names: Sequence[str] = (), place: Path | None = None) -> None:
    """Make a CA and certificate and key for clients of an edge device, in `directory`/tls if no place is given."""
    authority = single_authority(directory / "ca" / "public", "CALE Edge CA", "ec-p256", now)
    local = ["localhost", "127.0.0.1", "::1"]
    _make_files(place or directory / "tls", authority, [*local, *names], _BOTH[:1], now)


def write_missing(path: Path, data: bytes) -> None:
    """Write a public file unless it is there."""
    if not path.exists():
        write_file(path, data, 0o644)


def _make_files(
    directory: Path, issuer: Authority, names: Sequence[str], usages: Sequence[x509.ObjectIdentifier], now: datetime
) -> x509.Certificate:
    files = KeyFiles.below(directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not files.complete():
        key = new_key("ec-p256")
        write_key(files.key, key)
        write_file(files.anchors, pem(issuer.certificate), 0o644)
        # last, because it says that all are there
        write_file(files.certificate, pem(make_leaf(issuer, key, names, usages, now)), 0o644)
    load_key(files.key)
    return x509.load_pem_x509_certificate(files.certificate.read_bytes())


def make_leaf(
    issuer: Authority, key: CaKey, names: Sequence[str], usages: Sequence[x509.ObjectIdentifier], now: datetime
) -> x509.Certificate:
    """A certificate for TLS, valid for a year; its first name is the common name, too."""
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + 365 * _DAY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, digest_for(issuer.key))
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
