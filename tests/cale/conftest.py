from __future__ import annotations

from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.cale import CaleClient
from device_sdk.model.credentials import Credentials
from device_sdk.model.keys import PrivateKey
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import SPEC, VECTORS


@pytest.fixture(scope="session")
def keys() -> dict[str, PrivateKey]:
    """Software keys by type name."""
    return {
        "rsa-2048": rsa.generate_private_key(65537, 2048),
        "ec-p256": ec.generate_private_key(ec.SECP256R1()),
        "ec-p384": ec.generate_private_key(ec.SECP384R1()),
    }


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    """The key of the draft's appendix B.1."""
    key = load_pem_private_key((VECTORS / "privkey.enc.pem").read_bytes(), b"password")
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture
def trust(cale_server: ReferenceServer) -> ServerTrust:
    """The server's anchors."""
    return ServerTrust(tuple(x509.load_pem_x509_certificates(cale_server.ca_file.read_bytes())))


@pytest.fixture
def credentials(cale_server: ReferenceServer) -> Credentials:
    """The server's one user."""
    assert cale_server.user is not None
    return Credentials(cale_server.user, Secret(cale_server.password))


@pytest.fixture
def client(
    cale_server: ReferenceServer, trust: ServerTrust, credentials: Credentials, keys: dict[str, PrivateKey]
) -> Iterator[CaleClient]:
    """A client with a registered RSA key."""
    with CaleClient(cale_server.cale_url, trust, keys["rsa-2048"], credentials=credentials) as client:
        client.register(SPEC)
        yield client
