"""Generated keys in the forms of RFC 8295 section 8, from the reference server over TLS: A-01 to A-08, AR-01, B-01 to B-05."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_private_key
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import Credentials, DecryptionKey, EstClient, SharedKey
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.client.est.server_key import ServerKeyForms
from device_sdk.model.csr import CsrSpec
from device_sdk.model.pkcs12 import Pkcs12Policy
from device_sdk.model.secret import Secret
from device_sdk.model.trust import TlsIdentity
from tests.est.pki import name
from tests.est.test_reference_server import anchors_of

SPEC = CsrSpec(subject=name("sensor 7"))
SHARED = SharedKey(b"bench-7", Secret(bytes(range(32))))
PASSWORD = "pässword 7"


class Bench:
    """A server that makes keys in every form, and a device that is enrolled there."""

    def __init__(self, server: ReferenceServer) -> None:
        self.server = server
        server.policy.serverkeygen = {"clear", "secret", "certificate", "pkcs12"}
        server.est.server_keys.secrets.add(SHARED.identifier, SHARED.key.reveal())
        server.est.server_keys.pkcs12_passwords[""] = PASSWORD.encode()
        self.key = ec.generate_private_key(ec.SECP256R1())
        with EstClient(server.url, anchors_of(server), credentials=Credentials("device", Secret(server.password))) as client:
            self.identity = TlsIdentity(client.enroll(self.key, SPEC, wishes=None).chain, self.key)
        self.decrypt = DecryptionKey(self.identity.chain[0], self.key)

    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Of those who sign packages; made by the server at its first package."""
        from device_sdk_simulators.packages.publishing_keys import package_authority

        return (package_authority(self.server.state, self.server.clock()).root.certificate,)

    def forms(self, **options: Any) -> ServerKeyForms:
        policy = {name: options.pop(name) for name in ("constraints", "require_signature") if name in options}
        return ServerKeyForms(KeyPackagePolicy(self.anchors(), **policy), **options)

    def ask(self, forms: ServerKeyForms | None = None, *, receipts: bool = False, **options: Any) -> Any:
        options = {"decrypt": None if forms and forms.pkcs12 else self.decrypt} | options
        with EstClient(self.server.url, anchors_of(self.server), identity=self.identity) as client:
            got = client.serverkeygen(SPEC, forms=forms, **options)
            return (got, client.packages.return_receipts(got)) if receipts else got

    def said(self) -> Any:
        return self.server.log()[-1]["private_key"]

    def pal(self) -> list[str]:
        with EstClient(self.server.url, anchors_of(self.server), identity=self.identity) as client:
            return [step.entry.type for step in client.packages.list().steps]


@pytest.fixture
def bench(est_server: ReferenceServer) -> Bench:
    return Bench(est_server)


def require_good(got: Any) -> None:
    key = load_der_private_key(got.private_key.reveal(), None)
    assert key.public_key() == got.certificate.public_key()
    assert got.certificate.subject == SPEC.subject


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("form", ["signed", "ekp", "signed-ekp"])
def test_a_02_amb_02_all_nestings(form: str, bare: bool, bench: Bench) -> None:
    """To a certificate's key and to a shared secret; in two parts and as one message."""
    bench.server.policy.serverkeygen_form, bench.server.policy.serverkeygen_bare = form, bare
    for decrypt in (bench.decrypt, SHARED):
        got = bench.ask(bench.forms(), decrypt=decrypt)
        require_good(got)
        assert bench.said() == form
        assert len(got.signers) == 1 + form.startswith("signed")


def test_pkcs12(bench: Bench) -> None:
    for mac in ("hmac-sha256", "pbmac1"):
        bench.server.policy.serverkeygen_pkcs12_mac = mac
        require_good(bench.ask(ServerKeyForms(pkcs12=Pkcs12Policy(Secret(PASSWORD)))))
        assert bench.said() == "pkcs12"


def test_receipts(bench: Bench) -> None:
    bench.server.policy.serverkeygen_form = "signed"
    bench.server.policy.serverkeygen_receipts = True
    bench.ask(bench.forms())
    assert bench.pal() == ["0002", "0005", "0023"]
    _got, returned = bench.ask(bench.forms(), receipts=True)
    assert len(returned.sent) == 1, returned
