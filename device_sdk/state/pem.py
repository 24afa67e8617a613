"""Certificates as the PEM files of a state directory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from device_sdk.errors import StateCorruptError


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate's DER, hex."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def encode(certificates: Sequence[x509.Certificate]) -> bytes:
    """PEM, one certificate after the other, in the order given."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def decode(data: bytes, path: Path) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file; never empty.

    Raises:
        StateCorruptError: not PEM, not certificates, or none.
    """
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError as error:
        raise StateCorruptError(
            f"{path}: not a PEM file of certificates: {error}",
            hint=f"restore {path.name} from a backup, or move the state directory away and enrol again",
            path=str(path),
        ) from error
