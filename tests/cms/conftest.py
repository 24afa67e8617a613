from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from device_sdk.model.keys import PrivateKey
from tests.cms.messages import VECTORS, Recipient, write_certificate
from tests.cms.parties import DAY, NOW, Party, usage


@pytest.fixture(scope="session")
def recipients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipient]:
    """One software recipient of every key type that matters, by name."""
    directory = tmp_path_factory.mktemp("recipients")
    keys: dict[str, PrivateKey] = {
        "rsa-2048": rsa.generate_private_key(65537, 2048),
        "other-rsa-2048": rsa.generate_private_key(65537, 2048),
        "rsa-3072": rsa.generate_private_key(65537, 3072),
        "ec-p256": ec.generate_private_key(ec.SECP256R1()),
        "other-ec-p256": ec.generate_private_key(ec.SECP256R1()),
        "ec-p384": ec.generate_private_key(ec.SECP384R1()),
        "ec-p521": ec.generate_private_key(ec.SECP521R1()),
    }
    return {name: Recipient(key, write_certificate(directory, key.public_key(), name)) for name, key in keys.items()}


@pytest.fixture(scope="session")
def draft_key() -> PrivateKey:
    """The key of the draft's appendix B.1."""
    key = load_pem_private_key((VECTORS / "privkey.enc.pem").read_bytes(), b"password")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture(scope="session")
def party(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Party]:
    """party(name, key, issuer=..., extensions=...): somebody who signs."""
    directory = tmp_path_factory.mktemp("parties")
    count = iter(range(1000))

    def make(
        name: str,
        key: PrivateKey | None = None,
        issuer: Party | None = None,
        *,
        ca: bool = False,
        key_usage: x509.KeyUsage | None = None,
        ski: bool = True,
        not_after: datetime = NOW + DAY,
        digest: hashes.HashAlgorithm | None = None,
    ) -> Party:
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name.from_rfc4514_string(f"CN={name}")
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 2 * DAY)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if ski:
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        chosen = key_usage or (usage(key_cert_sign=True, crl_sign=True) if ca else None)
        if chosen:
            builder = builder.add_extension(chosen, critical=True)
        certificate = builder.sign(issuer.key if issuer else key, digest or hashes.SHA256())
        file = directory / f"{next(count)}.pem"
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_file = file.with_suffix(".key")
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Party(certificate, key, file, key_file)

    return make


@pytest.fixture(scope="session")
def root(party: Callable[..., Party]) -> Party:
    return party("Root", ca=True)
