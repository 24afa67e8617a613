from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from device_sdk.model.keys import PrivateKey
from tests.cms.messages import VECTORS, Recipient, write_certificate


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
