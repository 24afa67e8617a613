"""Who may sign at /fullcmc, over TLS: user and certificate together, holders that stay, makers' paths judged like TLS does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from device_sdk.client.est import Credentials, EstClient
from device_sdk.client.est.full_cmc import PendingRequest, SharedSecret
from device_sdk.errors import AuthenticationRequiredError, CmcPendingError, CmcRefusedError, HttpStatusError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust, TlsIdentity
from tests.simulators.server.support import name

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def cmc(server):
    server.policy.fullcmc = True
    for user in ("alice", "mallory"):
        server.users.add(user, f"{user}'s password")
    return server


@pytest.fixture
def client(cmc):
    opened = []

    def connect(user=None, identity=None) -> EstClient:
        root = x509.load_pem_x509_certificate(cmc.ca_file.read_bytes())
        known = Credentials(user, Secret(f"{user}'s password")) if user else None
        opened.append(EstClient(cmc.url, ServerTrust(explicit=(root,)), identity=identity, credentials=known))
        return opened[-1]

    yield connect
    for one in opened:
        one.close()


@pytest.fixture
def enrol(client):
    def run(user: str, subject: str = "router") -> TlsIdentity:
        key = new_key()
        return TlsIdentity(client(user).enroll(key, CsrSpec(name(subject))).chain, key)

    return run


def holders(server) -> list[str | None]:
    return [row["holder"] for row in server._database.rows("SELECT holder FROM certificates ORDER BY rowid")]


def test_est_80_a_renewed_certificate_keeps_its_holder(cmc, client, enrol):
    old, key = enrol("mallory"), new_key()
    new = TlsIdentity(client(identity=old).fullcmc.renew(key).enrolled.chain, key)
    assert holders(cmc) == ["mallory", "mallory"]
    cmc.policy.require_password = True
    with pytest.raises(HttpStatusError) as caught:
        client("alice", identity=new).reenroll(new_key())
    assert caught.value.status_code == 403
    assert client("mallory", identity=new).reenroll(new_key())


@pytest.mark.parametrize("who", ["user", "certificate", "secret"])
def test_the_holder_is_kept_while_a_request_waits(who, cmc, client, enrol):
    """The query is signed by the key of the request alone, which says nothing about the user."""
    shared, identity = SharedSecret(Secret("sixteen or more characters"), "dev-1"), None
    cmc.est.full_cmc.store.add_secret("dev-1", shared.secret.reveal())
    if who == "certificate":
        identity = enrol("alice")
    cmc.policy.require_approval = True
    key = new_key()
    asking = client("alice" if who == "user" else None, identity=identity)
    subject = CsrSpec(name("router"))
    with pytest.raises(CmcPendingError) as caught:
        asking.fullcmc.enroll(key, subject, shared_secret=shared if who == "secret" else None)
    cmc.est.queue.decide(None, approve=True)
    assert asking.fullcmc.query(PendingRequest.from_json(caught.value.pending), key).enrolled
    assert holders(cmc)[-1] == ("cmc:dev-1" if who == "secret" else "alice")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["basic", "digest"])
def test_est_80_a_password_beside_the_certificate(scheme, cmc, client):
    """RFC 7030 section 3.2.3: 401 with challenges, and then certificate and password together."""
    cmc.policy.http_auth = (scheme,)
    cmc.users.add("alice", "alice's password")
    key = new_key()
    identity = TlsIdentity(client("alice").enroll(key, CsrSpec(name())).chain, key)
    cmc.policy.require_password = True
    both = client("alice", identity=identity)
    assert both.fullcmc.renew(new_key()).enrolled
    assert [one["status"] for one in cmc.log() if one["operation"] == "fullcmc"] == [401, 200]
    assert (cmc.log()[-1]["user"], cmc.log()[-1]["authentication"]) == ("alice", "cmc:certificate")
    assert both.fullcmc.revoke(identity.chain[0]).statuses[0].status_name == "success"


def test_est_80_the_certificate_alone_or_with_a_wrong_password(cmc, client, enrol):
    identity = enrol("alice")
    cmc.policy.require_password = True
    with pytest.raises(AuthenticationRequiredError) as caught:
        client(identity=identity).fullcmc.renew(new_key())
    assert caught.value.schemes
    with pytest.raises(CmcRefusedError) as refused:
        client("mallory", identity=identity).fullcmc.renew(new_key())
    assert refused.value.status_code == 403
    cmc.users.add("alice", "another password")
    with pytest.raises(AuthenticationRequiredError):
        client("alice", identity=identity).fullcmc.renew(new_key())
    assert len(holders(cmc)) == 1


class Maker:
    """A root, an intermediate and a device; what is wrong with them is said by `changes`."""

    def __init__(self, changes: dict) -> None:
        self.root_key, middle_key, self.key = new_key(), new_key(), new_key()
        self.root = made("Maker", self.root_key, ca=True)
        ca = {"ca": changes.get("ca", True), "end": changes.get("ca_end", 99), "eku": changes.get("ca_eku")}
        ca["begin"] = changes.get("ca_begin", -9)
        self.middle = made("Maker CA", middle_key, issuer=(self.root, self.root_key), **ca)
        leaf = {one: changes[one] for one in ("eku", "signs", "end", "begin") if one in changes}
        self.leaf = made("dev-1", self.key, issuer=(self.middle, middle_key), **leaf)

    @property
    def identity(self) -> TlsIdentity:
        return TlsIdentity((self.leaf, self.middle), self.key)


def made(common_name, key, *, issuer=None, ca=False, begin=-9, end=99, eku=None, signs=None) -> x509.Certificate:
    above, above_key = issuer or (None, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(common_name))
        .issuer_name(above.subject if above else name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begin * DAY)
        .not_valid_after(NOW + end * DAY)
        .add_extension(x509.BasicConstraints(ca, None), True)
    )
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), False)
    if signs is not None:
        usage = x509.KeyUsage(signs, False, False, False, True, False, False, False, False)
        builder = builder.add_extension(usage, True)
    return builder.sign(above_key, hashes.SHA256())


SERVER_AUTH, CLIENT_AUTH = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
GOOD = {
    "nothing said": {},
    "all of it said": {"eku": [CLIENT_AUTH, SERVER_AUTH], "signs": True, "ca_eku": [CLIENT_AUTH]},
}
BAD = {
    "an expired intermediate": {"ca_end": -1},
    "an intermediate of tomorrow": {"ca_begin": 1},
    "an intermediate that is no CA": {"ca": False},
    "an intermediate for servers": {"ca_eku": [SERVER_AUTH]},
    "a leaf for servers": {"eku": [SERVER_AUTH]},
    "a leaf that signs nothing": {"signs": False},
    "an expired leaf": {"end": -1},
    "a leaf of tomorrow": {"begin": 1},
}


def asked(cmc, client, maker: Maker):
    cmc.policy.third_party_anchors, cmc.policy.third_party_serials = [maker.root], None
    return client().fullcmc.enroll(new_key(), CsrSpec(name()), signer=maker.identity).enrolled


@pytest.mark.parametrize("what", GOOD)
def test_est_32_a_makers_certificate_signs(what, cmc, client):
    assert asked(cmc, client, Maker(GOOD[what]))


@pytest.mark.parametrize("what", BAD)
def test_est_21_the_signers_path_is_judged_as_tls_would(what, cmc, client):
    with pytest.raises(CmcRefusedError) as caught:
        asked(cmc, client, Maker(BAD[what]))
    assert (caught.value.status_code, caught.value.fail_info) == (403, "badMessageCheck")
    assert holders(cmc) == []


def test_est_21_a_strangers_path(cmc, client):
    stranger = Maker({})
    cmc.policy.third_party_anchors, cmc.policy.third_party_serials = [Maker({}).root], None
    with pytest.raises(CmcRefusedError):
        client().fullcmc.enroll(new_key(), CsrSpec(name()), signer=stranger.identity)


def test_est_140_a_certificate_of_this_ca_for_servers_signs_nothing(cmc, client):
    key = new_key()
    wanted = x509.Extension(x509.ExtendedKeyUsage.oid, False, x509.ExtendedKeyUsage([SERVER_AUTH]))
    chain = client("alice").enroll(key, CsrSpec(name(), extensions=(wanted,))).chain
    with pytest.raises(CmcRefusedError):
        client().fullcmc.renew(new_key(), current=TlsIdentity(chain, key))


@pytest.mark.parametrize(("changes", "allowed"), [({}, True), ({"ca_end": -1}, False), ({"ca_begin": 1}, False)])
def test_est_21_the_path_of_a_tls_client_is_judged_by_the_servers_clock(changes, allowed, cmc, client):
    maker = Maker(changes)
    cmc.policy.third_party_anchors, cmc.policy.third_party_serials = [maker.root], None
    cmc.use_tls(cmc._profile)
    if allowed:
        assert client(identity=maker.identity).enroll(new_key(), CsrSpec(name()))
        return
    with pytest.raises(HttpStatusError) as caught:
        client(identity=maker.identity).enroll(new_key(), CsrSpec(name()))
    assert caught.value.status_code == 403
