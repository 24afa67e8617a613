"""The four roles over real TLS: every message of the draft's diagrams, and what may not get through."""

from __future__ import annotations

import base64
import json
import ssl
import uuid
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.policy import Policy

from device_sdk.client.cale import CaleClient
from device_sdk.errors import AuthenticationRequiredError
from device_sdk.model.trust import ServerTrust
from tests.cale.parts import SPEC
from tests.simulators.cale.support import KEYS, STRANGER, basic, csr_pem, opened


@pytest.mark.parametrize("kind", KEYS)
def test_every_flow_of_appendix_a_cale_20_to_cale_26(site, make_client, kind):
    client = make_client(site, key=KEYS[kind])
    assert client.register(site.authorization) == 200
    assert uuid.UUID(client.guid).version == 4
    assert json.loads(client.read("/resource")) == {"foo": "bar"}
    certificate = x509.load_pem_x509_certificate(client.read("/whoami"))
    assert certificate.public_key() == client.key.public_key()
    assert certificate.not_valid_before_utc == certificate.not_valid_after_utc
    said = json.loads(client.read("/identity"))
    assert said == {"owner": "device", "organization": "reference.example", "scopes": ["read"]}
    assert client.send("DELETE", "/registration", [("CALE-GUID", client.guid), *site.authorization.items()])[0] == 204
    assert client.read("/resource") is None
    assert client.read("/whoami") is None
    # one connection from the client, and one to each server behind (CALE-30); registration and revocation have their own
    made = {name: server._listener.connections for name, server in site.roles.items()}
    assert made == dict.fromkeys(site.roles, 1) | {"authz": 3}


def test_every_role_has_a_log_of_its_own_with_one_correlation_and_no_secret(site, registered):
    registered.read("/resource?password=hunter2")
    logs = {name: server.log() for name, server in site.roles.items()}
    correlation = logs["edge"][-1]["correlation"]
    assert {name for name, log in logs.items() if log[-1].get("correlation") == correlation} == set(logs)
    assert logs["origin"][-1]["owner"] == logs["resource"][-1]["owner"] == logs["authz"][-1]["owner"] == "device"
    assert logs["authz"][-1]["registration"]
    for name, server in site.roles.items():
        text = (server.state / "log.jsonl").read_text()
        for secret in (registered.guid, registered.guid.upper(), "hunter2", site.password, "foo"):
            assert secret not in text, name


def test_the_log_knows_the_same_registration_again(site, registered):
    """CALE-39: the operator sees which answers were decoys, and that it is the same GUID, but not which."""
    registered.get("/resource")
    registered.get("/resource", guid=STRANGER)
    registered.get("/resource", guid=STRANGER.upper())
    entries = site.edge.log()[-3:]
    assert [entry.get("decoy") for entry in entries] == [None, True, True]
    assert entries[1]["registration"] == entries[2]["registration"] != entries[0]["registration"]


def test_two_content_types_and_folds_come_through_unchanged_cale_25(make_site, make_client):
    site = make_site()
    for policy in site.policies.values():
        policy.cale_headers = "draft-folded"
    client = make_client(site)
    client.register(site.authorization)
    _status, fields, _body = client.get("/resource")
    kinds = [value for name, value in fields if name == "content-type"]
    assert len(kinds) == 2
    assert "\r\n" in kinds[1]
    assert client.read("/resource") is not None


def test_identity_is_what_was_proven_and_not_what_the_csr_says_cale_53(site, registered):
    """The CSR says CN=whatever."""
    assert json.loads(registered.read("/identity"))["owner"] == "device"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        (basic("device", "wrong"), 401),
        ({"Authorization": "Bearer nobody's"}, 401),
        ({"Authorization": "Bearer sesame"}, 200),
        ({"Authorization": "bearer   sesame"}, 200),
        ({"CALE-Identity": "device"}, 401),
    ],
)
def test_proofs_of_identity_cale_02(make_site, make_client, headers, status):
    site = make_site(settings={"tokens": {"sesame": "ali.baba"}})
    client = make_client(site)
    assert client.register(headers) == status
    if status == 200:
        assert json.loads(client.read("/identity"))["owner"] == "ali.baba"
        assert site.edge.log()[0]["authentication"] == "bearer"
    else:
        assert site.roles["authz"].log()[-1]["path"] == "/ciphers", "the authorization server was not asked"


BASIC, BEARER = 'Basic realm="estrealm", charset="UTF-8"', 'Bearer realm="estrealm"'


@pytest.mark.parametrize(
    ("user", "tokens", "offered"),
    [
        ("device", {}, [BASIC]),
        (None, {"sesame": "ali.baba"}, [BEARER]),
        ("device", {"sesame": "ali.baba"}, [BASIC, BEARER]),
        (None, {}, [BASIC]),
    ],
)
def test_a_401_offers_what_the_site_takes_whatever_was_wrong_cale_02(tmp_path, make_client, user, tokens, offered):
    settings = EdgeSettings(upstream="http://127.0.0.1:1", user=user, tokens=tokens)
    with edge_role(RolePlace(tmp_path / "edge"), Policy(), settings) as edge:
        client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
        wrong = [{}, basic("device", "wrong"), {"Authorization": "Bearer wrong"}, {"Authorization": "Other wrong"}]
        for proof in wrong:
            status, fields, body = client.send("POST", "/registration", list(proof.items()), b"x")
            assert (status, body) == (401, b"\n")
            assert [value for name, value in fields if name == "www-authenticate"] == offered, proof


@pytest.mark.parametrize(("user", "schemes"), [(None, "Bearer"), ("device", "Basic, Bearer")])
def test_the_client_is_told_what_the_site_takes_cale_02(tmp_path, user, schemes):
    settings = EdgeSettings(upstream="http://127.0.0.1:1", user=user, tokens={"sesame": "ali.baba"})
    with edge_role(RolePlace(tmp_path / "edge"), Policy(), settings) as edge:
        anchors = x509.load_pem_x509_certificates(Path(edge.facts["ca_file"]).read_bytes())
        refused = pytest.raises(AuthenticationRequiredError, match=rf"it takes {schemes}\)$")
        with CaleClient(edge.url, ServerTrust(tuple(anchors)), KEYS["p256"]) as client, refused:
            client.register(SPEC)


def test_a_name_that_is_no_ascii_arrives_as_it_is_cale_31(make_site, make_client):
    site = make_site(settings={"tokens": {"t": "Zoë 100%"}})
    client = make_client(site)
    assert client.register({"Authorization": "Bearer t"}) == 200
    assert json.loads(client.read("/identity"))["owner"] == "Zoë 100%"


def test_a_name_too_long_for_a_certificate_is_refused_not_cut(make_site, make_client):
    """Cut at 64 characters two people would be one."""
    site = make_site(settings={"tokens": {"t": "n" * 65, "u": "n" * 64}})
    client = make_client(site)
    assert client.register({"Authorization": "Bearer t"}) == 403
    assert client.register({"Authorization": "Bearer u"}) == 200


def test_several_records_of_one_identity_cale_46(site, make_client):
    first, second = make_client(site), make_client(site, key=KEYS["p256"])
    assert first.register(site.authorization) == second.register(site.authorization) == 200
    assert first.guid != second.guid
    assert first.read("/resource") == second.read("/resource") != b""


@pytest.mark.slow
def test_guids_are_not_to_be_guessed_and_tell_nothing(site, registered):
    """Neither neighbours of a GUID nor other forms of it lead anywhere; the answers look the same."""
    real = registered.get("/resource")
    number = uuid.UUID(registered.guid).int
    answer = registered.read("/resource")
    assert answer == b'{"foo": "bar"}\n'
    guesses = [str(uuid.UUID(int=number ^ (1 << bit))) for bit in range(0, 128, 16)]
    guesses += [registered.guid.replace("-", ""), f"{{{registered.guid}}}", "", "'; DROP TABLE"]
    for guess in guesses:
        status, fields, body = registered.get("/resource", guid=guess)
        assert (status, [name for name, _ in fields], len(body)) == (
            real[0],
            [name for name, _ in real[1]],
            len(real[2]),
        )
        answer = registered.read("/resource", guid=guess)
        assert answer is None or b"foo" not in answer
        assert site.edge.log()[-1]["decoy"] is True


def test_spoofed_inner_fields_change_nothing_cale_27(site, registered, make_client):
    """A client that brings certificate, cipher, identity, correlation of its own gets what is its own."""
    mallory = make_client(site, key=KEYS["p256"])
    mallory.register(site.authorization)
    spoofed = (
        ("CALE-PEM", '"' + base64.b64encode(b"no certificate").decode() + '"'),
        ("Client-Cert", ":AAAA:"),
        ("Cipher", "NULL-SHA"),
        ("CALE-Identity", "eve"),
        ("CALE-Correlation", "forged"),
        ("Content-Transfer-Encoding", "8bit"),
        ("cale-pem", "x"),
        ("Connection", "keep-alive, CALE-GUID"),
    )
    assert json.loads(mallory.read("/identity", *spoofed))["owner"] == "device"
    assert "forged" not in (site.roles["origin"].state / "log.jsonl").read_text()
    cipher = mallory.connection.sock.cipher()[0]
    assert {entry["cipher"] for entry in site.edge.log()} == {cipher}
    # two GUIDs: none (CALE-27)
    assert mallory.read("/resource", ("CALE-GUID", registered.guid)) is None


@pytest.mark.slow
def test_registration_of_a_csr_that_was_changed_on_its_way_is_refused(site, make_client):
    """The key in a CSR cannot be replaced: its signature proves possession."""
    client = make_client(site)
    der = bytearray(x509.load_pem_x509_csr(csr_pem(KEYS["rsa"])).public_bytes(Encoding.DER))
    place = der.index(KEYS["rsa"].public_key().public_numbers().n.to_bytes(256))
    der[place + 100] ^= 1
    fields = [("Content-Type", "application/pkcs10"), *site.authorization.items()]
    status, _fields, _body = client.send("POST", "/registration", fields, base64.b64encode(bytes(der)))
    assert status == 400
    assert site.roles["authz"].database.rows("SELECT * FROM registrations") == []


@pytest.mark.slow
def test_a_public_key_of_somebody_else_gives_access_to_nothing(site, registered, make_client):
    """CSR replay: who registers another one's CSR gets a GUID it cannot read, and answers about itself."""
    thief = make_client(site)
    fields = [("Content-Type", "application/pkcs10"), *site.authorization.items()]
    status, _fields, body = thief.send("POST", "/registration", fields, csr_pem(registered.key))
    assert status == 200
    assert opened(KEYS["p256"], body, thief.directory) is None


def test_weak_suites_are_not_spoken_at_all_cale_28(make_site, make_client):
    site = make_site(suites=("ECDHE-ECDSA-AES256-GCM-SHA384",))
    client = make_client(site)
    client.context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    client.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client.register(site.authorization)


def test_no_field_of_ours_and_no_oversized_one_gets_far_cale_61(site, registered):
    assert registered.get("/resource", ("X", "a" * 17000))[0] == 431
    registered.close()
    assert registered.get("/resource", ("X", "a" * 8500))[0] == 200
    assert site.edge.log()[-1].get("decoy") is None
