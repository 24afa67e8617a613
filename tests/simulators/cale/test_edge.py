"""The edge device's own rules: limits, lists of suites, proofs by certificate, decoys in both modes."""

from __future__ import annotations

import base64
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from device_sdk_simulators.ca.hierarchy import Authority, make_authority
from device_sdk_simulators.ca.keys import UnusableFileError, new_key, pem, write_key
from device_sdk_simulators.cale.cipher_lists import CipherListsDifferError, WrongRoleError
from device_sdk_simulators.cale.ciphers import SUITES, content_cipher
from device_sdk_simulators.cale.draft_decoy import DRAFT_DECOY
from device_sdk_simulators.cale.pki import KeyFiles, make_leaf
from device_sdk_simulators.cale.rate_limit import RateLimit
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role, origination_role
from device_sdk_simulators.cale.rules import CaleRules
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import KEYS, STRANGER, csr_pem, opened
from tests.simulators.server.test_decoys import kind_of

VECTORS = Path(__file__).parents[2] / "vectors" / "cale"


def leaf(directory: Path, authority: Authority, name: str, when: datetime | None = None) -> tuple[Path, Path]:
    key = new_key("ec-p256")
    directory.mkdir()
    certificate = make_leaf(authority, key, [name], [ExtendedKeyUsageOID.CLIENT_AUTH], when or datetime.now(UTC))
    (directory / "c.pem").write_bytes(pem(certificate))
    write_key(directory / "c.key", key)
    return directory / "c.pem", directory / "c.key"


@pytest.fixture
def makers() -> dict[str, Authority]:
    now = datetime.now(UTC) - timedelta(days=900)
    return {name: make_authority("Device CA", new_key("ec-p256"), now) for name in ("ours", "foreign")}


def test_a_tls_client_certificate_proves_its_common_name_cale_02(make_site, make_client, makers, tmp_path):
    """As those of an EST server; the name is that of the certificate, not that of the CSR."""
    site = make_site(settings={"client_anchors": [makers["ours"].certificate]})
    client = make_client(site, certificate=leaf(tmp_path / "good", makers["ours"], "dev-7"))
    assert client.register({}) == 200
    assert json.loads(client.read("/identity"))["owner"] == "dev-7"
    assert site.edge.log()[0]["authentication"] == "tls"
    expired = make_client(
        site, certificate=leaf(tmp_path / "old", makers["ours"], "dev-8", datetime.now(UTC) - timedelta(days=500))
    )
    assert expired.register({}) == 403
    nobody = make_client(site)
    assert nobody.register({}) == 401


def crl(authority: Authority, *serials: int, at: datetime | None = None, critical: bool = False) -> bytes:
    begun = at or datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(begun - timedelta(minutes=1)).next_update(begun + timedelta(days=1))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begun).build()
        builder = builder.add_revoked_certificate(entry)
    if critical:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.slow
def test_a_revoked_certificate_proves_nothing_cale_02(make_site, make_client, makers, tmp_path):
    """RFC 5280 section 6.3; the list is read again when it has changed, and what cannot be known is refused."""
    ours, lists = makers["ours"], tmp_path / "lists.pem"
    pair = leaf(tmp_path / "good", ours, "dev-7")
    serial = x509.load_pem_x509_certificate(pair[0].read_bytes()).serial_number
    lists.write_bytes(crl(ours))
    site = make_site(settings={"client_anchors": [ours.certificate], "client_lists": lists})
    client = make_client(site, certificate=pair)
    assert client.register({}) == 200
    refused = [
        crl(ours, serial),
        crl(ours) + crl(ours, 4711, serial),
        crl(makers["foreign"]),
        crl(ours, at=datetime.now(UTC) - timedelta(days=2)),
        crl(ours, at=datetime.now(UTC) + timedelta(days=1)),
        crl(ours, critical=True),
        b"no list at all",
        b"",
    ]
    for number, content in enumerate(refused):
        lists.write_bytes(content)
        assert client.register({}) == 403, number
        lists.write_bytes(b"# " + b"x" * number + crl(makers["foreign"], serial) + crl(ours, 4711))
        assert client.register({}) == 200, number
    lists.unlink()
    assert client.register({}) == 403
    assert client.register(site.authorization) == 403, "a password beside it does not hide it"


def test_a_list_of_revoked_certificates_that_is_none_ends_the_start(make_site, makers, tmp_path):
    (tmp_path / "lists.pem").write_bytes(b"x")
    with pytest.raises(UnusableFileError, match="holds no revocation lists"):
        make_site(settings={"client_anchors": [makers["ours"].certificate], "client_lists": tmp_path / "lists.pem"})


def test_a_certificate_of_another_ca_ends_in_the_handshake(make_site, make_client, makers, tmp_path):
    site = make_site(settings={"client_anchors": [makers["ours"].certificate]})
    client = make_client(site, certificate=leaf(tmp_path / "bad", makers["foreign"], "dev-7"))
    with pytest.raises(OSError, match=r"(?i)alert|reset|eof|broken"):
        client.register({})


def test_rate_limits_answer_with_decoys_cale_32(site, registered):
    real = registered.get("/resource")
    site.policies["edge"].cale.rate = 3
    asked = len(site.roles["authz"].log())
    answers = [registered.get("/resource") for _ in range(6)]
    assert {(status, len(body)) for status, _fields, body in answers} == {(200, len(real[2]))}
    assert [opened(registered.key, body, registered.directory) == b'{"foo": "bar"}\n' for _, _, body in answers] == [
        True
    ] * 3 + [False] * 3
    assert len(site.roles["authz"].log()) == asked + 3, "who asks too often is a burden for nobody else"
    assert site.edge.log()[-1]["reason"] == "too many requests"


def test_rate_limits_by_429_and_at_registration_cale_32(site, registered):
    rules = site.policies["edge"].cale
    rules.rate, rules.rate_answer = 2, "429"
    assert [registered.get("/resource")[0] for _ in range(4)] == [200, 200, 429, 429]
    # a new connection is no new source
    registered.close()
    assert registered.get("/resource")[0] == 429
    wrong = {"Authorization": "Basic ZGV2aWNlOndyb25n"}
    assert [registered.register(wrong) for _ in range(4)] == [401, 401, 429, 429]


@pytest.mark.slow
def test_neighbours_do_not_use_up_the_budget_of_an_owner_cale_32(site, registered):
    """What others ask from the same address makes no owner believe that the registration is gone."""
    site.policies["edge"].cale.rate = 5
    for path in ("/resource", "/whoami"):
        for _ in range(12):
            registered.get(path, guid=str(uuid.uuid4()))
            registered.get(path, guid=STRANGER)
    assert site.edge.log()[-1]["reason"] == "too many requests"
    assert [registered.read("/resource") for _ in range(5)] == [b'{"foo": "bar"}\n'] * 5
    assert b"foo" not in (registered.read("/resource") or b"")
    # who asked for too much finds out that the registration is alive
    assert b"BEGIN CERTIFICATE" in registered.read("/whoami")


def test_a_limit_by_429_says_that_it_is_one_for_owners_too_cale_32(site, registered):
    """Where limits are by address, they are by address for everybody: 429 is no decoy, and tells nothing about a GUID."""
    rules = site.policies["edge"].cale
    rules.rate, rules.rate_answer = 3, "429"
    assert [registered.get("/resource", guid=str(uuid.uuid4()))[0] for _ in range(3)] == [200] * 3
    assert [registered.get("/resource", guid=guid)[0] for guid in (registered.guid, str(uuid.uuid4()))] == [429, 429]
    assert registered.get("/whoami")[0] == 200


def test_budgets_and_what_comes_after_them_are_the_same_for_all_cale_32(site, make_client):
    """Counted before anybody knows; and limited answers stay as they were, whatever else is known of a GUID (CALE-36)."""
    client = make_client(site, key=KEYS["p256"])
    client.register(site.authorization)
    client.get("/resource")
    site.policies["edge"].cale.rate = 3
    looks = {}
    for guid in (client.guid, str(uuid.uuid4())):
        # a stranger who never asked for anything but /whoami is told from nobody by what comes when it asks too often
        answers = [client.get("/whoami", guid=guid) for _ in range(6)]
        looks[guid] = [(status, [name for name, _ in fields], kind_of(body)) for status, fields, body in answers]
        assert [entry.get("reason") for entry in site.edge.log()[-3:]] == ["too many requests"] * 3
        assert all("reason" not in entry for entry in site.edge.log()[-6:-3])
    assert looks[client.guid] == looks[guid]


@pytest.mark.parametrize("kind", KEYS)
def test_a_limited_client_gets_decoys_of_its_own_kind(site, make_client, kind):
    """CALE-36: what a stranger or a client saw once stays as it is, also where the authorization server is not asked."""
    client = make_client(site, key=KEYS[kind])
    client.register(site.authorization)
    before = kind_of(client.get("/resource")[2]), kind_of(client.get("/resource", guid=STRANGER)[2])
    site.policies["edge"].cale.rate = 1
    for _ in range(3):
        after = kind_of(client.get("/resource")[2]), kind_of(client.get("/resource", guid=STRANGER)[2])
    assert site.edge.log()[-1]["reason"] == "too many requests"
    assert after == before


def test_buckets_fill_steadily():
    now = [0.0]
    limit = RateLimit(lambda: now[0], most=3)
    assert [limit.admits("a", a_minute=2) for _ in range(3)] == [True, True, False]
    now[0] = 29
    assert not limit.admits("a", a_minute=2)
    now[0] = 60
    assert limit.admits("a", a_minute=2)
    assert limit.admits("b", "c", a_minute=2)
    assert [limit.admits("b", "d", a_minute=2) for _ in range(2)] == [True, False]
    assert limit.admits("anybody", a_minute=0)
    for name in "efgh":
        limit.admits(name, a_minute=1)
    assert len(limit._buckets) == 3


@pytest.mark.parametrize("role", ["authz", "origin"])
def test_lists_of_suites_that_differ_end_the_start_cale_29(make_site, role):
    site = make_site()
    site.edge.stop()
    site.policies[role].cale.suites = SUITES[:3]
    settings = EdgeSettings(site.at("authz"), site.at("origin"))
    with pytest.raises(CipherListsDifferError, match="ECDHE-ECDSA-AES128-SHA"):
        edge_role(site.place("edge"), Policy(), settings)
    # the same list in another order is the same
    site.policies[role].cale.suites = SUITES
    edge_role(site.place("edge"), Policy(cale=CaleRules(suites=SUITES[::-1])), settings).stop()


def test_lists_are_compared_when_the_other_one_comes_up_cale_29(make_site, make_client):
    """A server that starts later is not believed before it has shown its list."""
    site = make_site()
    site.edge.stop()
    port = site.roles["origin"].port
    site.roles["origin"].stop()
    settings = EdgeSettings(site.at("authz"), site.at("origin"), user="device")
    with edge_role(site.place("edge"), site.policies["edge"], settings) as edge:
        client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
        assert client.register(site.authorization) == 200
        assert client.read("/resource") != b'{"foo": "bar"}\n'
        site.policies["origin"].cale.suites = SUITES[:1]
        place = RolePlace(site.state / "origin", port=port, peers=("edge",))
        issuer = site.state / "origin" / "issuer.pem"
        with origination_role(place, site.policies["origin"], issuer, [("/", site.at("resource"))]):
            assert client.read("/resource") != b'{"foo": "bar"}\n'
            assert "another list" in str(edge.log()[-1]["reason"])
            site.policies["origin"].cale.suites = SUITES
            assert client.read("/resource") == b'{"foo": "bar"}\n'
        client.close()


def test_a_suite_of_the_list_by_any_name_cale_65():
    for name in ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"):
        assert content_cipher(name, aead=False, allowed=["ECDHE-RSA-AES128-SHA"]).key_bytes == 16
    long = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
    assert content_cipher(long, aead=False, allowed=["ECDHE-RSA-CHACHA20-POLY1305"]).key_bytes == 32
    for name in ("ECDHE-RSA-AES256-SHA", "ECDHE-ECDSA-AES128-SHA"):
        with pytest.raises(ValueError, match="not accepted"):
            content_cipher(name, aead=False, allowed=["ECDHE-RSA-AES128-SHA"])


def test_the_drafts_decoy_is_the_one_it_prints_cale_36():
    printed = "".join((VECTORS / "decoy-b2.3c.b64").read_text().split())
    ours = base64.b64decode(DRAFT_DECOY)
    assert len(ours) == len(base64.b64decode(printed)) == 844
    assert ours[0] == 0x41


@pytest.mark.parametrize("path", ["/resource", "/whoami"])
def test_draft_mode_gives_what_the_draft_prints(make_site, make_client, path):
    """B.2.3b: 403 without a body; B.2.3c: text; 4.3: random bytes. Only for comparison: see CALE-36."""
    site = make_site(decoys="draft")
    client = make_client(site)
    client.register(site.authorization)
    real, decoy = client.get(path), client.get(path, guid=STRANGER)
    assert (decoy[0], [n for n, _ in decoy[1]]) == (real[0], [n for n, _ in real[1]])
    content = base64.b64decode(decoy[2])
    assert content[:12] == b"At vero eos " if path == "/resource" else content[:8] != base64.b64decode(real[2])[:8]
    assert site.roles["authz"].log()[-1]["decoy"] is True


@pytest.mark.slow
def test_texts_of_different_lengths_look_the_same_with_buckets_cale_37(make_site, make_client):
    documents = {f"/{length}": json.dumps("x" * length).encode() for length in (1, 50, 200)}
    site = make_site(documents, padding=256)
    client = make_client(site)
    client.register(site.authorization)
    lengths = {len(client.get(path)[2]) for path in (*documents, "/resource", "/nowhere", "/identity")}
    strangers = {len(client.get(path, guid=STRANGER)[2]) for path in (*documents, "/new", "/resource")}
    assert len(lengths) == 1
    assert strangers == lengths
    assert json.loads(client.read("/50")) == "x" * 50
    whoami = {len(client.get("/whoami", guid=guid)[2]) for guid in (client.guid, STRANGER) for _ in range(8)}
    assert len(whoami) == 1, "a P-256 signature has 70 to 72 bytes, and that does not show any more"


@pytest.mark.slow
def test_a_slot_makes_all_answers_take_the_same_time_cale_38(make_site, make_client):
    """Real or not, they leave at multiples of the slot after the request."""
    slot = 0.15
    site = make_site(slot_s=slot)
    client = make_client(site)
    client.register(site.authorization)
    for path in ("/resource", "/whoami"):
        for guid in (client.guid, STRANGER):
            took = [duration(client, path, guid) for _ in range(4)]
            # the others may have met a busy machine
            while min(one % slot for one in took) >= 0.06 and len(took) < 30:
                took.append(duration(client, path, guid))
            assert min(took) > slot
            assert min(one % slot for one in took) < 0.06, (path, guid)


def duration(client, path: str, guid: str) -> float:
    started = time.monotonic()
    client.get(path, guid=guid)
    return time.monotonic() - started


@pytest.mark.slow
def test_decoys_take_as_long_as_answers_on_that_path_cale_38(make_site, make_client):
    site = make_site()
    resource = site.roles["resource"]
    answer = resource._logged

    def slow(handler, request):
        if request.path == "/slow":
            time.sleep(0.2)
        return answer(handler, request)

    resource._logged = slow
    client = make_client(site)
    client.register(site.authorization)
    assert duration(client, "/slow", client.guid) > 0.2
    assert duration(client, "/slow", STRANGER) > 0.2
    for guid in (client.guid, STRANGER):
        # one of several: the machine may be busy
        assert any(duration(client, "/resource", guid) < 0.15 for _ in range(30))


def test_curves_are_kept_for_strangers_beside_rsa(make_site, make_client):
    site = make_site()
    client = make_client(site, key=ec.generate_private_key(ec.SECP384R1()))
    client.register(site.authorization)
    assert kind_of(client.get("/resource", guid=STRANGER)[2]) == "p384"


@pytest.mark.parametrize("role", ["authz", "origin"])
def test_a_role_that_refuses_the_suite_is_a_decoy_cale_29(site, registered, role):
    """Lists can be changed while the servers run; each request is checked, too (CALE-65: 400 inside, a decoy outside)."""
    registered.get("/resource")
    site.policies[role].cale.suites = ("ECDHE-RSA-AES128-SHA",)
    path = "/whoami" if role == "authz" else "/resource"
    status, fields, _body = registered.get(path)
    assert status == 200
    assert sum("pkcs7-mime" in value for _name, value in fields) == 1
    assert not (registered.read(path) or b"").startswith((b"-----BEGIN", b'{"foo"'))
    assert site.roles[role].log()[-1]["status"] == 400
    assert site.edge.log()[-1]["decoy"] is True
    assert "400" in str(site.edge.log()[-1]["reason"])


@pytest.mark.parametrize(
    ("authorization", "origination", "words"),
    [
        ("origin", "origin", "is the origin role, and was named as the authz role"),
        ("authz", "authz", "is the authz role, and was named as the origin role"),
        ("authz", "resource", "it is not the origin role, or does not list this one as a peer"),
    ],
)
def test_roles_in_each_others_places_end_the_start(site, tmp_path, authorization, origination, words):
    """Each under its own name, so that its certificate is the right one."""
    place = RolePlace(tmp_path / "other", hop=KeyFiles.below(site.state / "edge" / "hop"))
    with pytest.raises(WrongRoleError, match=words):
        edge_role(place, Policy(), EdgeSettings(site.at(authorization), site.at(origination), user="device"))


def test_an_owner_has_so_many_registrations_and_no_more_cale_46(site, make_client):
    """Revoked ones count: their records stay. Others are not concerned, and what is registered goes on."""
    site.policies["authz"].cale.registrations = 2
    client = make_client(site)
    proof = site.authorization
    assert client.register(proof) == 200
    assert client.send("DELETE", "/registration", [("CALE-GUID", client.guid), *proof.items()])[0] == 204
    assert client.register(proof) == 200
    status, _fields, body = client.send("POST", "/registration", [*proof.items()], csr_pem(client.key))
    assert (status, body) == (
        403,
        b"device has 2 registrations, and may have no more (the server's --max-registrations)\n",
    )
    assert client.read("/resource") == b'{"foo": "bar"}\n'
    site.policies["authz"].cale.registrations = 0
    assert client.register(proof) == 200


@pytest.mark.parametrize(("room", "status"), [(10_000, 200), (20_000, 413)])
def test_a_certificate_request_has_a_size_that_requests_have_cale_46(site, make_client, room, status):
    client = make_client(site)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "d")])
    alternatives = x509.SubjectAlternativeName([x509.DNSName(f"{'x' * 50}{n}.example") for n in range(room // 66)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(alternatives, critical=False)
    body = csr.sign(client.key, hashes.SHA256()).public_bytes(Encoding.PEM)
    assert client.send("POST", "/registration", [*site.authorization.items()], body)[0] == status
