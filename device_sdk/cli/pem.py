"""Certificates as the command line reads and prints them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from device_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from cryptography import x509

_MAX_CERTIFICATES = 200
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\s*")


def certificates_from(content: bytes, source: str) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM file, or the one of a DER file.

    Raises:
        ConfigurationError: there is none, or one cannot be read.
    """
    from cryptography import x509

    try:
        if content[:1] == b"\x30":
            return (x509.load_der_x509_certificate(content),)
        found = tuple(x509.load_pem_x509_certificates(content))
    except ValueError as error:
        raise ConfigurationError(f"{source} holds no readable certificate", hint="PEM or DER is expected") from error
    if len(found) > _MAX_CERTIFICATES:
        raise ConfigurationError(f"{source} holds more than {_MAX_CERTIFICATES} certificates")
    return found


def add_crls(operation: argparse.ArgumentParser, whose: str) -> None:
    """The option --crls.

    Args:
        operation: gets it.
        whose: words for what the lists are about.
    """
    operation.add_argument(
        "--crls",
        metavar="FILE",
        action="append",
        default=[],
        help=f"revocation lists{whose}, PEM, and certificates of CAs that signed them with another key than that of the path; "
        "may be given more than once",
    )


def add_constraints(operation: argparse.ArgumentParser) -> None:
    """The option --constraints."""
    from device_sdk.cli.settings import CONSTRAINTS

    operation.add_argument(
        "--constraints",
        choices=CONSTRAINTS,
        default="if-present",
        help="CMS content constraints (RFC 6010) in signers' certificates (default: %(default)s)",
    )


def crls_in(
    paths: Iterable[str],
) -> tuple[tuple[x509.CertificateRevocationList, ...], tuple[x509.Certificate, ...]]:
    """The revocation lists of the files that --crls names, and the certificates of CAs beside them, which are not trusted for it.

    Raises:
        ConfigurationError: a file holds no list.
    """
    from device_sdk.cli.files import read_file
    from device_sdk.errors import WireError
    from device_sdk.wire.crls_only import MAX_CRLS_BYTES, read_crls_only

    found: list[x509.CertificateRevocationList] = []
    issuers: list[x509.Certificate] = []
    for path in paths:
        content = read_file(path, limit_bytes=MAX_CRLS_BYTES)
        if beside := b"".join(_CERTIFICATE.findall(content)):
            issuers += certificates_from(beside, path)
        try:
            found += read_crls_only(_CERTIFICATE.sub(b"", content))
        except WireError as error:
            raise ConfigurationError(f"{path}: {error.message}", hint="give revocation lists, PEM or DER") from error
    return tuple(found), tuple(issuers)


def pem_of(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates as one PEM file, in the given order."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def name_of(name: x509.Name) -> str:
    """A name as RFC 4514 writes it, with words for the types that devices have and the RFC names by numbers only."""
    from cryptography.x509.oid import NameOID

    from device_sdk.wire.names import shown_name

    words = {NameOID.SERIAL_NUMBER: "serialNumber", NameOID.EMAIL_ADDRESS: "emailAddress", NameOID.TITLE: "title"}
    return shown_name(name, words)


def describe(certificate: x509.Certificate) -> dict[str, object]:
    """What people ask about a certificate, as data; times are RFC 3339 in UTC, serial and fingerprint hex."""
    from cryptography.hazmat.primitives import hashes

    return {
        "subject": name_of(certificate.subject),
        "issuer": name_of(certificate.issuer),
        "serial": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "not_after": certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
    }
