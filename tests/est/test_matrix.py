"""Every way to hold a key, every TLS version, every key type: a rekey that the server wants bound to its connection.

Token, TPM and server are shared by all cases; a case makes two keys, one for the certificate that authenticates the renewal
and one to be certified. EST-91 to EST-98, EST-150 to EST-152, EST-157.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer
from device_sdk_simulators.softhsm import SoftHsm
from device_sdk_simulators.swtpm import Swtpm

from device_sdk.client.est import Compatibility, Credentials, EstClient
from device_sdk.keystores.registry import create_key
from device_sdk.model.csr import CsrSpec
from device_sdk.model.keys import KeyType
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.est.pki import name

STORES = ("pkcs11", "tpm2", "file")
VERSIONS = {"1.2": ("TLSv1.2", "tls-unique"), "1.3": ("TLSv1.3", "tls-exporter")}
KEY_TYPES = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], str]]:
    """One token and one TPM for all cases: the URI of a key by the way it is held and its name."""
    directory = tmp_path_factory.mktemp("matrix")
    (directory / "keys").mkdir(mode=0o700)
    with pytest.MonkeyPatch.context() as patch, SoftHsm(directory / "hsm") as token, Swtpm(directory / "tpm") as tpm:
        for variable, value in (token.environment | tpm.environment).items():
            patch.setenv(variable, value)

        def uri_of(store: str, label: str) -> str:
            path = directory / "keys" / f"{label}.pem"
            return {"pkcs11": token.uri_of(label), "tpm2": f"tpm2:file={path}", "file": f"file:{path}"}[store]

        yield uri_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceServer]:
    policy = Policy(require_binding=True)
    with ReferenceServer(tmp_path_factory.mktemp("matrix-server") / "state", policy=policy) as running:
        yield running


@pytest.fixture
def connect(server: ReferenceServer) -> Callable[..., EstClient]:
    anchors = tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes()))

    def open_client(version: str, **options: Any) -> EstClient:
        compatibility = Compatibility(max_tls_version=version)
        return EstClient(server.url, ServerTrust(explicit=anchors), compatibility=compatibility, **options)

    return open_client


@pytest.mark.slow
@pytest.mark.parametrize("key_type", KEY_TYPES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("store", STORES)
def test_rekey_with_binding(store, version, key_type, places, server, connect, tmp_path: Path) -> None:
    """EST-152."""
    label = f"{store}-{version}-{key_type}"
    spec = CsrSpec(name(label), (x509.DNSName(f"{key_type}.example"),))
    password = Credentials(server.user or "", Secret(server.password))
    old_uri, new_uri = places(store, label), places(store, f"{label}-2")
    with create_key(old_uri, key_type) as old_key, create_key(new_uri, key_type) as new_key:
        with connect(version, credentials=password) as client:
            first = client.enroll(old_key, spec)
        with connect(version, identity=TlsIdentity(first.chain, old_key)) as client:
            second = client.reenroll(new_key)
        renewal = server.log()[-1]
        with connect(version, identity=TlsIdentity(second.chain, new_key)) as client:
            client.cacerts()
        proof = server.log()[-1]
        assert new_key.info.key_type is KeyType(key_type)
        assert new_key.info.extractable is (store == "file")
    assert second.differences == ()
    assert KeyType.of(second.certificate.public_key()) is KeyType(key_type)
    assert second.certificate.public_key() != first.certificate.public_key()
    assert (renewal["operation"], renewal["status"]) == ("simplereenroll", 200)
    assert (renewal["tls_version"], renewal["binding"]) == VERSIONS[version]
    assert renewal["client_serial"] == f"{first.certificate.serial_number:x}"
    assert (proof["operation"], proof["client_serial"]) == ("cacerts", f"{second.certificate.serial_number:x}")
    verified_by_openssl(server, second.chain, tmp_path)


def verified_by_openssl(server: ReferenceServer, chain: tuple[x509.Certificate, ...], directory: Path) -> None:
    files = [directory / f"{position}.pem" for position, _ in enumerate(chain)]
    for file, certificate in zip(files, chain, strict=True):
        file.write_bytes(certificate.public_bytes(Encoding.PEM))
    untrusted = [word for file in files[1:] for word in ("-untrusted", str(file))]
    command = ["openssl", "verify", "-CAfile", str(server.ca_file), *untrusted, str(files[0])]
    subprocess.run(command, check=True, capture_output=True, timeout=30, env=os.environ)
