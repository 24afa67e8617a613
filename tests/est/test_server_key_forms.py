"""Generated keys in the forms of RFC 8295 section 8, from the reference server over TLS: A-01 to A-08, AR-01, B-01 to B-05."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key
from device_sdk_simulators.packages.sealed_returns import package_authority
from device_sdk_simulators.policy import Policy
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import Credentials, DecryptionKey, EstClient, SharedKey
from device_sdk.client.est.key_package_policy import KeyPackagePolicy
from device_sdk.client.est.server_key import ServerKeyForms
from device_sdk.errors import ConfigurationError, HttpStatusError, RemoteProtocolError, ServerKeyError
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
        self.credentials = Credentials("device", Secret(server.password))
        with EstClient(server.url, anchors_of(server), credentials=self.credentials) as client:
            self.identity = TlsIdentity(client.enroll(self.key, SPEC, wishes=None).chain, self.key)
        self.decrypt = DecryptionKey(self.identity.chain[0], self.key)

    def anchors(self) -> tuple[x509.Certificate, ...]:
        """Of those who sign packages; made by the server at its first package."""
        return (package_authority(self.server.state, self.server.clock()).root.certificate,)

    def forms(self, *, addressed: bool = True, **options: Any) -> ServerKeyForms:
        return ServerKeyForms(KeyPackagePolicy(self.anchors(), require_addressed=addressed), **options)

    def ask(self, forms: ServerKeyForms | None = None, *, receipts: bool = False, **options: Any) -> Any:
        options = {"decrypt": None if forms and forms.pkcs12 else self.decrypt} | options
        with EstClient(self.server.url, anchors_of(self.server), identity=self.identity) as client:
            got = client.serverkeygen(SPEC, forms=forms, **options)
            return (got, client.packages.return_receipts(got)) if receipts else got

    def said(self) -> Any:
        return self.server.log()[-1]["private_key"]

    def listed(self) -> list[tuple[str, str]]:
        with EstClient(self.server.url, anchors_of(self.server), identity=self.identity) as client:
            return [(step.entry.type, step.target) for step in client.packages.list().steps]

    def offer(self, kind: str) -> str:
        shelf, now = self.server.est.packages.shelf, self.server.clock()
        address = f"cert:{self.identity.chain[0].serial_number:x}"
        return shelf.publish("serverkeygen", kind, b"", media_type="", address=address, label="", now=now)


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with ReferenceServer(tmp_path_factory.mktemp("forms") / "server") as server:
        yield Bench(server)


@pytest.fixture
def bench(shared_bench: Bench) -> Bench:
    """The same for all, with the switches as at first."""
    usual, policy = Policy(), shared_bench.server.policy
    for switch in (one for one in Policy.__annotations__ if one.startswith("serverkeygen_")):
        setattr(policy, switch, getattr(usual, switch))
    shared_bench.server.faults.clear()
    return shared_bench


def require_good(got: Any) -> None:
    key = load_der_private_key(got.private_key.reveal(), None)
    assert key.public_key() == got.certificate.public_key()
    assert got.certificate.subject == SPEC.subject
    assert got.differences == ()


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("form", ["signed", "ekp", "signed-ekp"])
def test_a_02_amb_02_all_nestings(form: str, bare: bool, bench: Bench) -> None:
    """To a certificate's key and to a shared secret; in two parts and as one message."""
    bench.server.policy.serverkeygen_form, bench.server.policy.serverkeygen_bare = form, bare
    for decrypt in (bench.decrypt, SHARED):
        got = bench.ask(bench.forms(addressed=form != "ekp"), decrypt=decrypt)
        require_good(got)
        assert bench.said() == form
        assert len(got.signers) == 1 + form.startswith("signed")


def test_a_06_an_rsa_key_opens_it(bench: Bench) -> None:
    """By OAEP, which the request lists first; PKCS#1 v1.5 opens no packages (AMB-21)."""
    key = rsa.generate_private_key(65537, 2048)
    with EstClient(bench.server.url, anchors_of(bench.server), credentials=bench.credentials) as client:
        decrypt = DecryptionKey(client.enroll(key, SPEC, wishes=None).certificate, key)
    bench.server.policy.serverkeygen_form = "signed-ekp"
    require_good(bench.ask(bench.forms(), decrypt=decrypt))


def test_a_01_the_forms_of_rfc_7030_stay(bench: Bench) -> None:
    """Whoever names anchors for packages takes them as well; whoever does not takes no others."""
    require_good(bench.ask(bench.forms()))
    assert bench.said() == "encrypted"
    require_good(bench.ask(bench.forms(announce=True)))
    assert bench.said() == "signed-ekp"
    bench.server.policy.serverkeygen_form = "signed"
    with pytest.raises(RemoteProtocolError, match="unsupported response type 'application/cms'"):
        bench.ask()


@pytest.mark.parametrize(
    ("fault", "says"), [("other_private_key", "no certificate of the answer"), ("clear_key", "came in the clear")]
)
def test_a_08_est_197_what_a_bad_server_does(fault: str, says: str, bench: Bench) -> None:
    bench.server.policy.serverkeygen_form = "signed"
    bench.server.faults.set(fault, operation="serverkeygen")
    with pytest.raises(ServerKeyError, match=says):
        bench.ask(bench.forms())


@pytest.mark.parametrize("mac", ["hmac-sha256", "pbmac1"])
def test_b_02_b_05_rfc_9579_pkcs12(mac: str, bench: Bench) -> None:
    bench.server.policy.serverkeygen_pkcs12_mac = mac
    forms = ServerKeyForms(pkcs12=Pkcs12Policy(Secret(PASSWORD)))
    require_good(bench.ask(forms))
    assert bench.said() == "pkcs12"
    bench.server.faults.set("other_private_key", operation="serverkeygen")
    with pytest.raises(ServerKeyError, match="no certificate of the answer"):
        bench.ask(forms)
    bench.server.policy.serverkeygen.discard("pkcs12")
    with pytest.raises(HttpStatusError, match="no PKCS#12") as caught:
        bench.ask(forms)
    bench.server.policy.serverkeygen.add("pkcs12")
    assert caught.value.status_code == 406


def test_ar_01_the_server_asks_and_is_told(bench: Bench) -> None:
    """By the attribute, and by an entry of type 0023 until something came back; from whoever has the key's certificate, too."""
    policy, returns = bench.server.policy, bench.server.est.server_keys.returns
    policy.serverkeygen_form, policy.serverkeygen_receipts = "signed", True
    got = bench.ask(bench.forms())
    assert bench.listed()[-1] == ("0023", "/.well-known/est/serverkeygen/return")
    item = f"serverkeygen:{got.certificate.serial_number:x}"
    identity = TlsIdentity(got.chain, load_der_private_key(got.private_key.reveal(), None))  # type: ignore[arg-type]
    with EstClient(bench.server.url, anchors_of(bench.server), identity=identity) as client:
        assert client.packages.return_receipts(got).sent == (got.requests[0].package_id,)
    assert [one["kind"] for one in returns.overview() if one["item"] == item] == ["receipt"]
    assert "0023" not in [kind for kind, _ in bench.listed()]
    _, returned = bench.ask(bench.forms(), receipts=True)
    assert len(returned.sent) == 1
    assert "0023" not in [kind for kind, _ in bench.listed()]


def test_ar_01_kr_08_the_server_asks_for_an_encrypted_receipt(bench: Bench) -> None:
    """Without its certificate nothing is said in the clear; with it the server opens what comes."""
    policy = bench.server.policy
    policy.serverkeygen_form, policy.serverkeygen_receipts, policy.serverkeygen_encrypted_receipts = (
        "signed",
        True,
        True,
    )
    try:
        got = bench.ask(bench.forms())
    finally:
        policy.serverkeygen_encrypted_receipts = False
    (recipient,) = x509.load_pem_x509_certificates((bench.server.state / "keys-ca" / "returns.pem").read_bytes())
    with EstClient(bench.server.url, anchors_of(bench.server), identity=bench.identity) as client:
        kept = client.packages.return_receipts(got)
        assert (kept.sent, len(kept.withheld)) == ((), 1)
        assert "0023" in [kind for kind, _ in bench.listed()]
        assert client.packages.return_receipts(got, recipient=recipient).sent == (got.requests[0].package_id,)
    assert "0023" not in [kind for kind, _ in bench.listed()]
    assert [one.get("encrypted") for one in bench.server.log() if one.get("returned") == "receipt"][-1]


def test_ar_01_kr_05_what_is_not_taken_back(bench: Bench) -> None:
    """About a package that another device of the same user was given, and what is no message at all."""
    bench.server.policy.serverkeygen_form, bench.server.policy.serverkeygen_receipts = "signed", True
    got = bench.ask(bench.forms())
    key = ec.generate_private_key(ec.SECP256R1())
    with EstClient(bench.server.url, anchors_of(bench.server), credentials=bench.credentials) as client:
        other = TlsIdentity(client.enroll(key, CsrSpec(name("sensor 8")), wishes=None).chain, key)
    with EstClient(bench.server.url, anchors_of(bench.server), identity=other) as client:
        with pytest.raises(HttpStatusError) as caught:
            client.packages.return_receipts(got)
        assert caught.value.status_code == 404
        with pytest.raises(HttpStatusError) as caught:
            client.packages.send_return("serverkeygen/return", "text/plain", b"no")
        assert caught.value.status_code == 415
    with EstClient(bench.server.url, anchors_of(bench.server), identity=bench.identity) as client:
        client.packages.return_receipts(got)


def test_amb_03_pal_0020_to_0022_say_the_form(bench: Bench) -> None:
    """The list says where to ask; what comes there is of the entry's type, whatever the policy says of other requests."""
    bench.server.policy.serverkeygen_form = "signed"
    places = {kind: f"/.well-known/est/serverkeygen/{bench.offer(kind)}" for kind in ("0020", "0021", "0022")}
    assert set(places.items()) <= set(bench.listed())
    pkcs12 = ServerKeyForms(pkcs12=Pkcs12Policy(Secret(PASSWORD)), target=places["0022"])
    clear: dict[str, Any] = {"decrypt": None, "allow_clear": True}
    for forms, options, said in (
        (ServerKeyForms(target=places["0020"]), clear, "clear"),
        (bench.forms(target=places["0021"]), {}, "signed"),
        (pkcs12, {}, "pkcs12"),
    ):
        require_good(bench.ask(forms, **options))
        assert bench.said() == said
    with pytest.raises(HttpStatusError) as caught:
        bench.ask(bench.forms(target="/.well-known/est/serverkeygen/0123456789abcdef"))
    assert caught.value.status_code == 404


def test_one_protection_and_one_form(bench: Bench) -> None:
    asked = len(bench.server.log())
    with pytest.raises(ConfigurationError, match="protected beyond TLS"):
        bench.ask(bench.forms(), decrypt=None)
    with pytest.raises(ConfigurationError, match="at once"):
        bench.ask(ServerKeyForms(pkcs12=Pkcs12Policy(Secret(PASSWORD))), decrypt=None, allow_clear=True)
    assert len(bench.server.log()) == asked
