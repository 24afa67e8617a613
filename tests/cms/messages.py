"""Recipients with throw-away certificates, and messages for them made by `openssl cms`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from device_sdk.errors import EnvelopeError
from device_sdk.model.decryption import EVERYTHING, DecryptionPolicy
from device_sdk.model.keys import PrivateKey, PublicKey
from device_sdk.wire.cms import open_envelope
from device_sdk.wire.cms.envelope import CANNOT_OPEN

VECTORS = Path(__file__).parents[1] / "vectors" / "cale"


@dataclass(frozen=True)
class Recipient:
    """A key, and a certificate file that openssl can encrypt for."""

    key: PrivateKey
    certificate: Path


def write_certificate(directory: Path, public_key: PublicKey, name: str = "recipient") -> Path:
    """A certificate for the public key, signed by nobody in particular; openssl does not look when it encrypts."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    path = directory / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def run_openssl(*arguments: object, data: bytes) -> bytes:
    """Standard output of `openssl ARGUMENTS`, fed with data."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def encrypt(
    data: bytes,
    *certificates: Path,
    cipher: str = "aes-256-cbc",
    keyopt: tuple[str, ...] = (),
    form: str = "DER",
    options: tuple[str, ...] = (),
) -> bytes:
    """A message by `openssl cms -encrypt`; `keyopt` goes to every recipient."""
    recipients: list[object] = []
    for certificate in certificates:
        recipients += ["-recip", certificate]
        for option in keyopt:
            recipients += ["-keyopt", option]
    return run_openssl("cms", "-encrypt", "-binary", f"-{cipher}", "-outform", form, *options, *recipients, data=data)


def place_of_content(message: bytes) -> int:
    """Where the [0] of a streamed message begins: behind the content's type, as the keys before it are any octets."""
    return message.index(b"\xa0\x80\x04", message.index(bytes.fromhex("06092a864886f70d010701")))


def failure_of(
    message: bytes, *keys: PrivateKey, limit_bytes: int = 1 << 20, policy: DecryptionPolicy = EVERYTHING
) -> bool:
    """Whether the message does not open, after making sure that nothing more can be told from the error."""
    caught: EnvelopeError | None = None
    try:
        open_envelope(message, keys, limit_bytes=limit_bytes, policy=policy)
    except EnvelopeError as error:
        caught = error
    if caught is None:
        return False
    assert type(caught) is EnvelopeError
    assert str(caught) == CANNOT_OPEN
    assert caught.__cause__ is None
    assert caught.__context__ is None
    assert caught.facts() == {"code": "cannot-decrypt", "message": CANNOT_OPEN, "hint": None}
    return True
