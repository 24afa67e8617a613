"""What goes wrong after a GUID was looked up says nothing about it: same key, same algorithms, same form (CALE-24, CALE-36)."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.ca.hierarchy import make_authority
from device_sdk_simulators.ca.keys import new_key
from device_sdk_simulators.cale.answer_sizes import AnswerSizes
from device_sdk_simulators.cale.binary_http import BINARY_HTTP
from device_sdk_simulators.cale.capabilities import EXTENSION
from device_sdk_simulators.cale.certificates import Owner, make_certificate
from device_sdk_simulators.cale.envelope import ciphertext_length
from device_sdk_simulators.cale.hops import HopError, HopTimeoutError
from device_sdk_simulators.http.messages import HttpError, Request, Response, TlsFacts
from pyasn1.codec.der.encoder import encode
from pyasn1_alt_modules import rfc5751

from tests.simulators.cale.support import opened
from tests.simulators.server.support import PKCS10, basic
from tests.simulators.server.test_cale import KEYS, get, guid_of
from tests.simulators.server.test_decoys import kind_of, recipient_of

TLS = TlsFacts("TLSv1.3", "TLS_AES_256_GCM_SHA384")
SUBJECT = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
CBC_128, GCM_256 = "2.16.840.1.101.3.4.1.2", "2.16.840.1.101.3.4.1.46"
PKCS1, OAEP = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.7"
CLIENTS = {
    "rsa": (KEYS["rsa"], ()),
    "rsa of old": (KEYS["rsa"], (CBC_128, PKCS1)),
    "rsa of today": (KEYS["rsa"], (GCM_256, OAEP)),
    "rsa for whole responses": (KEYS["rsa"], (GCM_256, OAEP, BINARY_HTTP)),
    "p256": (KEYS["p256"], ()),
}


def register(server, key, oids=()) -> str:
    """The GUID of a new registration that says what it decrypts."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT)
    if oids:
        listed = rfc5751.SMIMECapabilities()
        for place, oid in enumerate(oids):
            listed[place]["capabilityID"] = oid
        builder = builder.add_extension(x509.UnrecognizedExtension(EXTENSION, bytes(encode(listed))), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    answer = server.handle(Request("POST", "/registration", [PKCS10, basic(server)], pem, TLS))
    assert answer.status == 200, answer.body
    return guid_of(server)


def seen(response: Response) -> tuple[object, ...]:
    """What an observer can tell of a recipient: kind, identifier if it is one of a key, algorithms, fields, length, type."""
    info = recipient_of(response.body)
    name = info.getName()
    rid = info[name]["rid"] if name == "ktri" else info[name]["recipientEncryptedKeys"][0]["rid"]
    form = rid.getName()
    identifier = None if form == "issuerAndSerialNumber" else bytes(encode(rid.getComponent()))
    algorithm = bytes(encode(info[name]["keyEncryptionAlgorithm"]))
    inside = ciphertext_length(base64.b64decode(response.body))[2]
    return kind_of(response.body), form, identifier, algorithm, tuple(response.headers), len(response.body), inside


def raising(error: Exception) -> Callable[[Request], Response]:
    def hop(request: Request) -> Response:
        raise error

    return hop


FAILURES: dict[str, Callable[[Request], Response]] = {
    "gone": raising(HopError("refused")),
    "late": raising(HopTimeoutError("no answer in time")),
    "a bug": raising(UnicodeEncodeError("ascii", "\xe9", 0, 1, "ordinal not in range")),
    "nonsense": raising(RuntimeError("whatever")),
    "too long": lambda request: Response(431),
    "refused": lambda request: Response(403),
    "its own error": raising(HttpError(400, "bad")),
}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("hardened", [False, True], ids=["draft", "hardened"])
def test_a_failure_looks_like_the_answers_of_the_same_client_cale_24(server, client, hardened):
    """Also the first one, before there was any answer; strangers are the same before and after, too."""
    server.policy.cale_hardened = server.policy.cale_aead = hardened
    edge = server.cale.edge
    works = edge._origination
    everybody = [register(server, *CLIENTS[client]), str(uuid.uuid4())]
    looks: dict[str, set[object]] = {guid: set() for guid in everybody}
    for origination in (*FAILURES.values(), works, *FAILURES.values()):
        edge._origination = origination
        for guid in everybody:
            answer = get(server, "/resource", guid, tls=TLS)
            assert answer.status == 200
            looks[guid].add(seen(answer))
    assert [len(found) for found in looks.values()] == [1, 1]
    kinds = {(look[0], look[1], *look[3:]) for found in looks.values() for look in found}
    assert len(kinds) == 1, "and but for the name of the key all are alike"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("path", ["/resource", "/whoami"])
def test_who_is_not_asked_about_looks_as_before(server, client, path):
    """The authorization server is down, or is not asked because somebody asked too often (CALE-32)."""
    server.policy.cale_hardened = server.policy.cale_aead = True
    everybody = [register(server, *CLIENTS[client]), str(uuid.uuid4())]
    usual = {guid: seen(get(server, "/resource", guid, tls=TLS)) for guid in everybody}
    edge = server.cale.edge
    edge._authorization = raising(HopError("refused"))
    down = {guid: seen(get(server, path, guid.upper(), tls=TLS)) for guid in everybody}
    server.policy.cale.rate = 1
    limited = {guid: [seen(get(server, path, guid, tls=TLS)) for _ in range(2)][1] for guid in everybody}
    assert server.log()[-1]["reason"] == "too many requests"
    for guid in everybody:
        assert down[guid][:4] == limited[guid][:4] == usual[guid][:4]


def test_who_was_never_asked_about_is_like_those_who_were_cale_24_cale_36(server):
    """Who keeps the authorization server busy must not learn which GUIDs the edge device has seen."""
    server.policy.cale_hardened = server.policy.cale_aead = True

    def look(guid: str) -> tuple[object, ...]:
        found = seen(get(server, "/resource", guid, tls=TLS))
        return found[:2] + found[3:]

    clients = {name: look(register(server, *of)) for name, of in CLIENTS.items()}
    server.cale.edge._authorization = raising(HopTimeoutError("busy"))
    guids = [str(uuid.uuid4()) for _ in range(60)]
    looks = {guid: look(guid) for guid in guids}
    assert set(looks.values()) <= set(clients.values())
    assert len(set(looks.values())) > 1
    assert {guid: look(guid) for guid in guids} == looks


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("aead", [False, True], ids=["CBC", "GCM"])
def test_a_path_that_nobody_asked_for_is_like_one_that_does_not_exist_cale_37(server, client, aead):
    """The first decoy, before there was any answer to learn from, in the form that this kind of client gets."""
    server.policy.cale_hardened = server.policy.cale_aead = aead
    guid = register(server, *CLIENTS[client])
    for path in ("/never", "/asked"):
        stranger, real = (seen(get(server, path, one, tls=TLS)) for one in (str(uuid.uuid4()), guid))
        assert stranger[:2] + stranger[3:] == real[:2] + real[3:]


@pytest.mark.slow
def test_an_answer_that_waits_for_its_slot_is_counted(server):
    """Many large ones are ready early in a slot; they are part of the memory that all of them share."""
    server.cale.resource.documents["/large.bin"] = bytes(200_000)
    guid, room = register(server, KEYS["p256"]), server.cale.edge._room
    length = len(get(server, "/large.bin", guid, tls=TLS).body)
    assert room.used == 0
    server.policy.cale.slot_s = 2.0
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(get, server, "/large.bin", guid, tls=TLS)
        seen = set()
        while not answer.done():
            seen.add(room.used)
            time.sleep(0.01)
    assert length in seen
    assert room.used == 0


@pytest.mark.slow
def test_what_came_too_late_for_its_slot_is_not_learnt_cale_37(server):
    """A server that is slow for a moment ends in an error inside, which no client gets: strangers must not be as long."""
    guid, edge = register(server, KEYS["p256"]), server.cale.edge
    server.cale.resource.documents["/late.bin"] = bytes(20_000)
    length, usual, ended = len(get(server, "/late.bin", guid, tls=TLS).body), edge._origination, threading.Event()

    def late(request: Request) -> Response:
        time.sleep(0.6)
        answer = usual(Request(request.method, "/nothing", request.headers))
        # after the work itself is over, whatever is done with its result
        threading.Timer(0.3, ended.set).start()
        return answer

    edge._origination, server.policy.cale.slot_s = late, 0.5
    assert server.handle(Request("GET", "/late.bin", [("CALE-GUID", guid)], tls=TLS)).facts["decoy"]
    assert ended.wait(30)
    edge._origination, server.policy.cale.slot_s = usual, 0.0
    assert {len(get(server, "/late.bin", str(uuid.uuid4()), tls=TLS).body) for _ in range(16)} == {length}


def test_the_proof_of_somebody_else_looks_as_usual_cale_06(server):
    server.policy.cale_hardened = True
    server.policy.cale.methods = ("POST",)
    everybody = [register(server, KEYS["rsa"], (CBC_128, PKCS1)), str(uuid.uuid4())]
    server.users.add("mallory", "knows this")
    proof = ("Authorization", "Basic " + base64.b64encode(b"mallory:knows this").decode())
    for guid in everybody:
        usual = seen(get(server, "/resource", guid, tls=TLS))
        request = Request("POST", "/resource", [("CALE-GUID", guid), proof], b"x", TLS)
        assert seen(server.handle(request)) == usual
    assert server.log()[-3]["reason"] == "the second proof is of somebody else"


@pytest.mark.parametrize("aead", [False, True], ids=["CBC", "GCM"])
def test_a_client_reads_nothing_in_a_failure_cale_39(server, tmp_path, aead):
    """It is for the client's own key, and still no message: garbage must not pass for an answer."""
    server.policy.cale_aead = aead
    guid = register(server, KEYS["rsa"])
    server.cale.edge._origination = FAILURES["gone"]
    for _ in range(10):
        assert opened(KEYS["rsa"], get(server, "/resource", guid, tls=TLS).body, tmp_path) is None


@pytest.mark.parametrize("path", ["/resource", "/whoami"])
def test_what_servers_inside_add_to_an_answer_stays_inside_cale_38(server, path):
    """Server and the like: a decoy, which the edge device makes, has nothing of it."""
    guid = register(server, KEYS["rsa"])
    edge = server.cale.edge

    def adding(hop):
        def call(request: Request) -> Response:
            response = hop(request)
            response.headers = [("Server", "x"), *response.headers, ("Via", "1.1 y"), ("Set-Cookie", "z=1")]
            return response

        return call

    edge._authorization, edge._origination = adding(edge._authorization), adding(edge._origination)
    real = get(server, path, guid, tls=TLS)
    edge._origination = edge._authorization = FAILURES["gone"]
    assert get(server, path, guid, tls=TLS).headers == real.headers


@pytest.mark.parametrize("client", ["rsa", "p256"])
@pytest.mark.parametrize("value", [b"", b"\x30\x80", b"\x30\x03\x02\x01\x05", b"\x30\x00", b"\x05" * 5000])
@pytest.mark.parametrize("status", [200, 403])
def test_capabilities_that_cannot_be_read_are_a_decoy(server, client, value, status):
    """An authorization server of somebody else may certify anything."""
    now = datetime.now(UTC)
    authority = make_authority("Elsewhere", new_key("ec-p256"), now)
    key = CLIENTS[client][0].public_key()
    odd = x509.UnrecognizedExtension(EXTENSION, value)
    pem = make_certificate(authority, Owner("x"), key, now, now, odd).public_bytes(Encoding.PEM)
    server.cale.edge._authorization = lambda request: Response(status, [], pem)
    answer = get(server, "/resource", str(uuid.uuid4()), tls=TLS)
    assert (answer.status, kind_of(answer.body)) == (200, "rsa-2048" if client == "rsa" else "p256")


def test_a_certificate_of_a_key_that_only_signs_is_a_decoy(server):
    server.cale.edge._authorization = lambda request: Response(200, [], ONLY_SIGNS)
    answer = get(server, "/resource", str(uuid.uuid4()), tls=TLS)
    assert (answer.status, kind_of(answer.body)) == (200, "rsa-2048")


def only_signs() -> bytes:
    key = ed25519.Ed25519PrivateKey.generate()
    name, now = x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now)
    return builder.sign(key, None).public_bytes(Encoding.PEM)


ONLY_SIGNS = only_signs()


def test_queries_have_lengths_of_their_own_cale_37(server):
    """Who asks what clients ask gets what clients get; a query nobody asked gets one of its path's lengths."""
    sizes = AnswerSizes(server._database, most_queries=8)
    for number, length in enumerate((320, 640, 1280)):
        sizes.learn("/doc", length, aead=True, query=f"n={number}")
    for mark in (b"one", b"another"):
        asked = [sizes.plaintext_length("/doc", mark, aead=True, query=f"n={number}") for number in range(3)]
        assert asked == [320, 640, 1280]
        new = [sizes.plaintext_length("/doc", mark, aead=True, query=f"m={number}") for number in range(40)]
        assert set(new) == {320, 640, 1280}
        assert new == [sizes.plaintext_length("/doc", mark, aead=True, query=f"m={number}") for number in range(40)]
    for number in range(50):
        sizes.learn("/doc", 1280, aead=True, query=f"flood={number}")
    assert len(sizes._queries) == 8
    # after a restart there are the lengths of the path
    again = AnswerSizes(server._database)
    assert again.plaintext_length("/doc", b"one", aead=True, query="n=0") == 1280


def test_strangers_who_ask_what_clients_ask_cale_37(server):
    """What stays: the asker chooses the query, and one that no client asked before shows a client only its real length."""

    def as_long_as_asked(request: Request, peer: str) -> Response:
        return Response(200, [("Content-Type", "application/json")], b"x" * int(request.target.partition("=")[2] or 1))

    server.cale.resource.handle = as_long_as_asked
    guid, stranger = register(server, KEYS["rsa"]), str(uuid.uuid4())
    queries = [f"/doc?n={number}" for number in (1, 3000, 1, 700, 3000)]
    real = [len(get(server, query, guid, tls=TLS).body) for query in queries]
    assert len(set(real)) == 3
    assert [len(get(server, query, stranger, tls=TLS).body) for query in queries] == real
    new = [len(get(server, f"/doc?n={number}", stranger, tls=TLS).body) for number in range(100, 140)]
    assert set(new) == set(real)


def test_who_chooses_another_suite_or_form_learns_nothing_cale_37(server):
    """Clients read a picture as a whole response with AES-GCM; a stranger asks with a CBC suite, or is like a client of old."""
    server.policy.cale_aead, server.policy.cale.padding = True, 256
    server.cale.resource.handle = lambda *_: Response(200, [("Content-Type", "image/png")], bytes(9001))
    clients = [register(server, KEYS["rsa"], (GCM_256, CBC_128, PKCS1, BINARY_HTTP)), register(server, KEYS["rsa"])]
    get(server, "/png", clients[0], tls=TLS)
    # so many that both kinds are among them
    everybody = [str(uuid.uuid4()) for _ in range(40)]
    suites = (TlsFacts("TLSv1.2", "ECDHE-RSA-AES256-SHA"), TLS)

    def looks(guids: list[str]) -> set[object]:
        return {tuple(seen(get(server, "/png", guid, tls=suite)) for suite in suites) for guid in guids}

    strangers = looks(everybody)
    assert len(strangers) == 2
    assert strangers == looks(clients)


@pytest.mark.parametrize(
    ("target", "fields", "status"),
    [
        ("/caf\xe9", [], 400),
        ("/a?\x9f", [], 400),
        ("/a\x7fb", [], 400),
        ("/a b", [], 400),
        ("/\u20ac", [], 400),
        ("/" + "a" * 8000, [], 414),
        ("/a", [("User-Agent", "x" * 8191)], 431),
        ("/a", [("Accept", "x\x7f")], 400),
        ("/a", [("Accept-Language", "\u20ac")], 400),
    ],
)
def test_what_no_server_inside_takes_is_refused_before_the_guid_is_looked_up(server, target, fields, status):
    """Also behind a WSGI server, which has a parser of its own."""
    asked = []
    server.cale.edge._authorization = lambda request: asked.append(request) or Response(403)
    for guid in ("3b0f4e2c-7a57-4e7e-9f0a-0d6d9e8d7c6b", str(uuid.uuid4())):
        with pytest.raises(HttpError) as caught:
            server.cale.edge.handle(Request("GET", target, [("CALE-GUID", guid), *fields], tls=TLS))
        assert caught.value.status == status
    assert asked == []


@pytest.mark.slow
def test_who_fills_the_memory_of_lengths_makes_room_himself_cale_37(server):
    """Otherwise one registration makes the edge device forget a path, and strangers there are like those of no path."""
    edge, documents = server.cale.edge, server.cale.resource.documents
    edge._decoys._sizes = AnswerSizes(server._database, most_paths=8, most_queries=8)
    register(server, KEYS["p256"])
    mallory, alice = guid_of(server), register_as(server, "alice", KEYS["p256"])
    for number in range(20):
        documents[f"/{number}.bin"] = bytes(3000)
    lengths = {len(get(server, f"/{number}.bin", alice, tls=TLS).body) for number in range(2)}
    for number in range(20):
        get(server, f"/{number}.bin", mallory, tls=TLS)
    assert len(server._database.rows("SELECT DISTINCT path FROM answer_lengths")) == 8
    for number in range(2):
        assert {len(get(server, f"/{number}.bin", str(uuid.uuid4()), tls=TLS).body) for _ in range(4)} == lengths
    # nor at once after a restart, when nobody knows who asked for what
    sizes = AnswerSizes(server._database, most_paths=64)
    for number in range(200):
        sizes.learn(f"/flood/{number}", 5000, aead=True, owner="mallory")
    assert sizes.plaintext_length("/1.bin", b"", aead=True) == 3000


def register_as(server, name: str, key) -> str:
    server.users.add(name, "knows this")
    proof = ("Authorization", "Basic " + base64.b64encode(f"{name}:knows this".encode()).decode())
    pem = x509.CertificateSigningRequestBuilder().subject_name(SUBJECT).sign(key, hashes.SHA256())
    request = Request("POST", "/registration", [PKCS10, proof], pem.public_bytes(Encoding.PEM), TLS)
    assert server.handle(request).status == 200
    return guid_of(server)
