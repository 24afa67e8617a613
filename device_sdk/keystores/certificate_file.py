"""The certificate beside a key file: `key.pem` has `key.crt` next to it."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_sdk.errors import KeyNotFoundError, KeyStoreError, StoreCorruptError
from device_sdk.keystores.atomic import PUBLIC, is_file, read_file, replace_file
from device_sdk.model.keys import PublicKey

MAX_BYTES = 256 * 1024
"""The largest certificate file that is read."""


def certificate_path(key_file: Path) -> Path:
    """Where the certificate of a key file is: the same name with `.crt` in place of `.pem` or `.key`, else appended."""
    if key_file.suffix in (".pem", ".key"):
        return key_file.with_suffix(".crt")
    return key_file.with_name(key_file.name + ".crt")


def has_certificate(path: Path) -> bool:
    """Whether there is a certificate file; where this user cannot look, there is none for this user."""
    try:
        return is_file(path)
    except KeyStoreError:
        return False


def spki_of(public_key: PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def write_certificate(path: Path, certificate: x509.Certificate, public_key: PublicKey, uri: str) -> None:
    """Keep a certificate as PEM, mode 0644, in place of an older one.

    Raises:
        KeyStoreError: it is for another key, or cannot be written.
    """
    if _spki_in(certificate) != spki_of(public_key):
        raise KeyStoreError(f"{uri}: the certificate is for another key", uri=uri)
    replace_file(path, certificate.public_bytes(Encoding.PEM), PUBLIC)


def read_certificate(path: Path, public_key: PublicKey | None, uri: str) -> x509.Certificate | None:
    """The certificate, or None if there is no such file, or one for a key that had this name before.

    Args:
        path: the certificate's file.
        public_key: of the key it should be for; None if that cannot be known without a passphrase.
        uri: redacted URI for messages.

    Raises:
        StoreCorruptError: the file is not a certificate.
        KeyStoreError: it cannot be read.
    """
    try:
        data, _ = read_file(path, MAX_BYTES)
    except KeyNotFoundError:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(data)
        held = _spki_in(certificate)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StoreCorruptError(f"{path} is not a PEM certificate", uri=uri) from error
    return certificate if public_key is None or held == spki_of(public_key) else None


def _spki_in(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
