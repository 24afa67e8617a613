"""What goes from role to role, taken down where it arrives; four roles with real TLS on every hop (CALE-20 to CALE-32)."""

from __future__ import annotations

import base64
import ssl
import threading
from dataclasses import dataclass

import pytest
from cryptography import x509
from device_sdk_simulators.http.messages import Request, Response
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5652

from tests.simulators.cale.support import KEYS, STRANGER, csr_pem, opened

INNER = ("authz", "origin", "resource")
TRANSPORT = {"host", "content-length"}
"""What HTTP itself needs."""
PKCS10 = ("Content-Type", "application/pkcs10")


@dataclass
class Exchange:
    """One request as an inner role got it, and its answer."""

    role: str
    request: Request
    response: Response

    @property
    def names(self) -> set[str]:
        """The names of the request's fields."""
        return {name.lower() for name, _ in self.request.headers} - TRANSPORT


@pytest.fixture
def inside(site) -> list[Exchange]:
    """The exchanges of the inner roles, in their order."""
    seen: list[Exchange] = []
    for name in INNER:
        server = site.roles[name]

        def taken_down(handler, request, role=name, original=server._logged):
            response = original(handler, request)
            seen.append(Exchange(role, request, response))
            return response

        server._logged = taken_down
    return seen


def answer_to_registration(site, client) -> tuple[list[tuple[str, str]], bytes]:
    """The answer to a registration, as it came."""
    fields = [PKCS10, *site.authorization.items()]
    status, fields, body = client.send("POST", "/registration", fields, csr_pem(client.key))
    assert status == 200
    client.guid = (opened(client.key, body, client.directory) or b"").decode().strip()
    return fields, body


def cipher_of(body: bytes) -> str:
    """The algorithm of the content of a message."""
    content = decode(base64.b64decode(body), asn1Spec=rfc5652.ContentInfo())[0]
    message = decode(content["content"], asn1Spec=rfc5652.EnvelopedData())[0]
    return str(message["encryptedContentInfo"]["contentEncryptionAlgorithm"]["algorithm"])


@pytest.mark.parametrize(
    ("suite", "arc"),
    [
        ("ECDHE-ECDSA-AES128-SHA", 2),
        ("ECDHE-ECDSA-AES256-SHA", 42),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", 2),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", 42),
    ],
)
def test_the_suite_of_the_connection_decides_every_answer(site, make_client, inside, suite, arc):
    """CALE-21, CALE-23, CALE-26, CALE-28, CALE-57: Cipher names it, and what it says is kept to; decoys, too."""
    client = make_client(site)
    client.context.maximum_version = ssl.TLSVersion.TLSv1_2
    client.context.set_ciphers(suite)
    _fields, body = answer_to_registration(site, client)
    bodies = [body, *(client.get(path, guid=guid)[2] for path in ("/resource", "/whoami") for guid in (None, STRANGER))]
    assert client.connection.sock.cipher()[0] == suite
    assert {cipher_of(one) for one in bodies} == {f"2.16.840.1.101.3.4.1.{arc}"}
    said = {(one.role, one.request.path): one.request.header_values("Cipher") for one in inside}
    assert said == {
        ("authz", "/registration"): [suite],
        ("authz", "/validate"): [],
        ("origin", "/resource"): [suite],
        ("resource", "/aggregate"): [],
        ("authz", "/whoami"): [suite],
    }


def test_only_fields_of_the_edge_s_own_go_inside_cale_23_cale_27_cale_31(site, make_client, inside):
    """Whatever a client brings: identity, certificate, cipher, correlation, encoding."""
    spoofed = [
        ("CALE-PEM", '"AAAA"'), ("Client-Cert", ":AAAA:"), ("Cipher", "NULL-SHA"), ("CALE-Identity", "eve"),
        ("CALE-Correlation", "forged"), ("Content-Transfer-Encoding", "8bit"), ("Cookie", "a=b"), ("X-Y", "z"),
        ("CALE-Lengths", "9 9"),
    ]  # fmt: skip
    client = make_client(site)
    csr = csr_pem(client.key)
    fields = [PKCS10, *site.authorization.items(), *spoofed]
    status, _fields, body = client.send("POST", "/registration", fields, csr)
    assert status == 200
    client.guid = opened(client.key, body, client.directory).decode().strip()
    client.get("/resource", *spoofed)
    client.get("/whoami", *spoofed)
    found = {(one.role, one.request.path): one.names for one in inside}
    assert found == {
        ("authz", "/registration"): {"content-type", "cipher", "cale-identity", "cale-correlation"},
        ("authz", "/validate"): {"cale-guid", "cale-correlation"},
        ("origin", "/resource"): {"cale-pem", "cipher", "cale-correlation", "cale-lengths"},
        ("resource", "/aggregate"): {"cale-pem", "cale-correlation"},
        ("authz", "/whoami"): {"cale-guid", "cipher", "cale-correlation"},
    }
    registration = inside[0].request
    assert registration.header_values("CALE-Identity") == ["device"]
    assert registration.body == csr
    values = [value for one in inside for _name, value in one.request.headers]
    assert not {"eve", "forged", '"AAAA"', "NULL-SHA", "8bit"} & set(values)


def test_answers_come_out_as_they_were_made_cale_21_cale_25_cale_26(site, make_client, inside):
    """Every field in its order, and every byte of the body; each line of it has 64 characters (CALE-69)."""
    client = make_client(site)
    came = {"/registration": answer_to_registration(site, client)}
    for path in ("/resource", "/whoami"):
        status, fields, body = client.get(path)
        assert status == 200
        came[path] = (fields, body)
    made = {one.request.path: one.response for one in inside if one.request.path in came}
    for path, (fields, body) in came.items():
        assert body == made[path].body
        # how long it is in either form is for the edge device alone
        expected = [(name.lower(), value) for name, value in made[path].headers if name != "CALE-Lengths"]
        assert "cale-lengths" not in dict(fields)
        assert [one for one in fields if one[0] in dict(expected)] == expected, path
        lines = body.decode("ascii").splitlines()
        assert {len(line) for line in lines[:-1]} == {64}
        assert 0 < len(lines[-1]) <= 64


def test_who_is_not_registered_is_asked_about_and_goes_no_further_cale_22(site, registered, inside):
    """The origination server hears of it only after a validation that said yes."""
    revoked = registered.guid
    assert registered.register(site.authorization) == 200
    request = [("CALE-GUID", revoked), *site.authorization.items()]
    assert registered.send("DELETE", "/registration", request)[0] == 204
    inside.clear()
    for guid in (revoked, STRANGER, "no guid"):
        assert registered.get("/resource", guid=guid)[0] == 200
        assert site.edge.log()[-1]["reason"] == "not registered"
    assert [(one.role, one.request.path) for one in inside] == [("authz", "/validate")] * 3
    registered.get("/resource")
    assert [one.role for one in inside[3:]] == ["authz", "resource", "origin"]


def test_the_authorization_server_makes_the_decoy_of_whoami_cale_35(site, registered, inside):
    """What comes out is what it made: an envelope for nobody, as long as the one for a client or a signature's byte off."""
    real = registered.get("/whoami")[2]
    inside.clear()
    for guid in (STRANGER, "no guid"):
        status, _fields, body = registered.get("/whoami", guid=guid)
        assert (status, inside[-1].role, inside[-1].response.status) == (200, "authz", 200)
        assert body == inside[-1].response.body
        assert cipher_of(body) == cipher_of(real)
        assert abs(len(body) - len(real)) <= 24
        assert b"CERTIFICATE" not in (opened(registered.key, body, registered.directory) or b"")
    assert len(inside) == 2


def test_whatever_a_get_brings_along_stays_outside_cale_06(site, registered, inside):
    """A body cannot ask for a change in the shadow of a method that only reads; nor does HEAD become something else."""
    guid = ("CALE-GUID", registered.guid)
    assert registered.send("GET", "/resource", [guid, ("Content-Type", "text/plain")], b"change")[0] == 200
    assert registered.send("HEAD", "/resource", [guid])[0] == 200
    assert {(one.request.method, one.request.body) for one in inside} == {("GET", b"")}
    assert not [one for one in inside if one.request.header_values("Content-Type")]


def test_unknown_and_revoked_get_the_same_refusal_cale_49(site, registered, inside):
    """403, the same fields, a certificate for no time at all; who was revoked keeps the key, or everybody would see it."""
    request = [("CALE-GUID", registered.guid), *site.authorization.items()]
    assert registered.send("DELETE", "/registration", request)[0] == 204
    inside.clear()
    for guid in (registered.guid, STRANGER):
        registered.get("/resource", guid=guid)
    refusals = [one.response for one in inside]
    assert [(one.status, one.headers) for one in refusals] == [(403, [("Content-Type", "application/x509")])] * 2
    certificates = [x509.load_pem_x509_certificate(one.body) for one in refusals]
    assert all(one.not_valid_before_utc == one.not_valid_after_utc for one in certificates)
    assert [one.public_key() == registered.key.public_key() for one in certificates] == [True, False]


@pytest.fixture
def silence():
    """Waits until the test is over."""
    over = threading.Event()
    yield over
    over.set()


STRANGE = {
    "403 without a body": Response(403),
    "403 and noise": Response(403, [("Content-Type", "application/x509")], b"noise"),
    "200 and nothing": Response(200, [("Content-Type", "application/x509")]),
    "200 and noise": Response(200, [("Content-Type", "application/x509")], b"noise"),
    "200 and half a certificate": Response(200, [], b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
    "204": Response(204),
    "302": Response(302, [("Location", "/elsewhere")]),
    "404": Response(404),
    "500": Response(500, [], b"out of order"),
    "silence": None,
}


@pytest.mark.slow
@pytest.mark.parametrize("on_failure", ["decoy", "502"])
@pytest.mark.parametrize("name", STRANGE)
def test_whatever_is_no_certificate_becomes_a_decoy_cale_24(site, registered, silence, name, on_failure):
    """Refusals, failures, silence, noise: 200, the fields of an answer, its length, and nothing to read; or 502 by rule."""
    site.policies["edge"].cale.on_failure = on_failure
    real = registered.get("/resource")
    authz = site.roles["authz"]
    original, strange = authz._logged, STRANGE[name]

    def answer(handler, request):
        if request.path != "/validate":
            return original(handler, request)
        if strange is None:
            silence.wait(30)
        return strange or Response(200)

    authz._logged = answer
    asked = len(site.roles["origin"].log())
    status, fields, body = registered.get("/resource")
    assert len(site.roles["origin"].log()) == asked
    if on_failure == "502" and not name.startswith("403"):
        assert status == 502
        return
    assert (status, [one for one, _ in fields], len(body)) == (200, [one for one, _ in real[1]], len(real[2]))
    assert opened(registered.key, body, registered.directory) != b'{"foo": "bar"}\n'
    assert site.edge.log()[-1]["decoy"] is True


@pytest.mark.slow
@pytest.mark.parametrize("status", [204, 302, 400, 403, 404, 431, 500, 503])
@pytest.mark.parametrize("role", ["authz", "origin"])
def test_failures_behind_a_validation_become_decoys_cale_24_cale_26(site, registered, role, status):
    """Of the origination server, and of the authorization server at /whoami; nothing that they said comes out."""
    path = {"origin": "/resource", "authz": "/whoami"}[role]
    real = registered.get(path)
    said = Response(status, [("X-Said", "a secret of the inside")], b"" if status == 204 else b"reasons")
    site.roles[role]._logged = lambda _handler, _request: said
    got, fields, body = registered.get(path)
    assert (got, [name for name, _ in fields]) == (200, [name for name, _ in real[1]])
    assert cipher_of(body) == cipher_of(real[2])
    assert b"reasons" not in body
    assert "secret" not in str(fields)
    assert site.edge.log()[-1]["decoy"] is True


def test_a_suite_that_is_not_on_the_edge_s_list_is_refused_there_cale_28(site, registered, inside):
    """Lists can be changed while the edge device runs; then nobody behind it hears of the request."""
    site.policies["edge"].cale.suites = ("ECDHE-RSA-AES128-SHA",)
    assert registered.register(site.authorization) == 400
    assert [registered.get(path)[0] for path in ("/resource", "/whoami")] == [400, 400]
    assert inside == []


def test_one_guid_from_many_addresses_is_limited_cale_32(site, registered, make_client, inside):
    site.policies["edge"].cale.rate = 2
    for last in range(2, 6):
        other = make_client(site, source=f"127.0.0.{last}")
        assert other.get("/resource", guid=registered.guid)[0] == 200
    assert [one.request.path for one in inside if one.role == "authz"] == ["/validate"] * 2
    assert {entry["source"] for entry in site.edge.log()} >= {f"127.0.0.{last}" for last in range(2, 6)}
    assert site.edge.log()[-1]["reason"] == "too many requests"
    fresh = make_client(site, key=KEYS["p256"], source="127.0.0.9")
    assert fresh.register(site.authorization) == 200
    assert fresh.read("/resource") == b'{"foo": "bar"}\n', "others are not held up"


def test_many_guids_from_one_address_are_limited_by_rule_cale_32(site, registered, inside):
    rules = site.policies["edge"].cale
    rules.rate, rules.rate_answer = 2, "429"
    guesses = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(4)]
    assert [registered.get("/resource", guid=guess)[0] for guess in guesses] == [200, 200, 429, 429]
    assert len(inside) == 2
    assert registered.get("/resource")[0] == 429
