"""Keys of the CA and of the TLS server, and how they are written to disk."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from device_sdk_simulators.softhsm import SimulatorError

CaKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class UnusableFileError(SimulatorError):
    """A file of the state directory that does not hold what it should."""


def new_key(kind: str) -> CaKey:
    """A software key: "ec-p256", "ec-p384", "rsa-2048", ..."""
    family, _, size = kind.partition("-")
    if family == "rsa":
        return rsa.generate_private_key(65537, int(size))
    return ec.generate_private_key({"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[size])


def load_key(path: Path) -> CaKey:
    """A key written by `write_key`; UnusableFileError if the file holds something else."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableFileError(f"{path} holds no private key this server can read") from error
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise UnusableFileError(f"{path} holds neither an EC nor an RSA key")
    return key


def write_key(path: Path, key: CaKey) -> None:
    """Write a key as PKCS#8 with mode 0600."""
    data = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_file(path, data)


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file as a whole: a reader, or a crash, sees the old content or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as PEM, one after the other."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def digest_for(key: CaKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """The hash that fits the strength of a signing key."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size > 256:
        return hashes.SHA384() if key.curve.key_size <= 384 else hashes.SHA512()
    return hashes.SHA256()
