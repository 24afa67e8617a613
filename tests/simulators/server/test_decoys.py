"""What a stranger can learn from a decoy on first sight: nothing (CALE-36, CALE-37, CALE-38)."""

from __future__ import annotations

import base64
import sqlite3
import time
import uuid
from contextlib import closing
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from device_sdk_simulators.cale.answer_sizes import AnswerSizes, Lengths
from device_sdk_simulators.cale.models import LOOKED_AT, Models
from device_sdk_simulators.cale.records import CsrRecord, MemoryRecords
from device_sdk_simulators.database import Database
from device_sdk_simulators.http.messages import TlsFacts
from device_sdk_simulators.server import ReferenceServer
from pyasn1.codec.der.decoder import decode
from pyasn1_alt_modules import rfc5083, rfc5652

from tests.simulators.server.test_cale import KEYS, STRANGER, get, guid_of, register

PATHS = ("/resource", "/whoami", "/nowhere")
TLS_13 = TlsFacts("TLSv1.3", "TLS_AES_128_GCM_SHA256")


def recipient_of(body: bytes):
    content = decode(base64.b64decode(body), asn1Spec=rfc5652.ContentInfo())[0]
    authenticated = content["contentType"] == rfc5083.id_ct_authEnvelopedData
    specification = rfc5083.AuthEnvelopedData() if authenticated else rfc5652.EnvelopedData()
    return decode(content["content"], asn1Spec=specification)[0]["recipientInfos"][0]


def kind_of(body: bytes) -> str:
    """What kind of key a message is for, as anybody can see."""
    info = recipient_of(body)
    if info.getName() == "ktri":
        return f"rsa-{8 * len(bytes(info['ktri']['encryptedKey']))}"
    point = info["kari"]["originator"]["originatorKey"]["publicKey"].asOctets()
    return {65: "p256", 97: "p384", 133: "p521"}[len(point)]


def name_in(body: bytes) -> bytes:
    """The subject key identifier that names the recipient of a hardened message."""
    info = recipient_of(body)
    if info.getName() == "ktri":
        return bytes(info["ktri"]["rid"]["subjectKeyIdentifier"])
    return bytes(info["kari"]["recipientEncryptedKeys"][0]["rid"]["rKeyId"]["subjectKeyIdentifier"])


def strangers(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("hardened", [False, True], ids=["draft", "hardened"])
@pytest.mark.parametrize("kind", [*KEYS, "rsa-3072"])
@pytest.mark.parametrize("path", PATHS)
def test_the_first_decoy_looks_like_the_first_answer(server, kind, path, hardened):
    """Nothing was read before: the keys that are registered and what there is to read are enough."""
    server.policy.cale_hardened = server.policy.cale_aead = hardened
    register(server, KEYS.get(kind) or rsa.generate_private_key(65537, 3072))
    guid = guid_of(server)
    decoy = get(server, path, STRANGER, tls=TLS_13)
    real = get(server, path, guid, tls=TLS_13)
    assert server.log()[-2]["decoy"] is True
    assert kind_of(decoy.body) == kind_of(real.body)
    assert decoy.headers == real.headers
    # a signature by P-256 in the certificate of /whoami has 70 to 72 bytes
    assert abs(len(decoy.body) - len(real.body)) <= (24 if path == "/whoami" else 0)


def test_nobody_is_registered_rsa_2048(server):
    assert {kind_of(get(server, path, STRANGER).body) for path in PATHS} == {"rsa-2048"}


@pytest.mark.slow
def test_strangers_are_as_mixed_as_clients_and_each_is_the_same_everywhere(tmp_path):
    seen = {}
    everybody = strangers(40)
    with ReferenceServer(tmp_path / "s") as server:
        for _ in range(8):
            register(server, KEYS["rsa"])
            register(server, KEYS["p256"])
        for guid in everybody:
            (seen[guid],) = {kind_of(get(server, path, guid).body) for path in PATHS}
            assert kind_of(get(server, "/resource", guid.upper()).body) == seen[guid]
    assert set(seen.values()) == {"rsa-2048", "p256"}
    with ReferenceServer(tmp_path / "s") as server:
        assert {guid: kind_of(get(server, "/resource", guid).body) for guid in everybody} == seen


@pytest.mark.slow
def test_who_registers_changes_few_strangers_and_later_none_cale_36(tmp_path):
    """A real client has one key as long as it lives; who registers other kinds must not see who is none."""
    everybody = strangers(40)

    def kinds() -> list[str]:
        return [kind_of(get(server, "/resource", guid).body) for guid in everybody]

    with ReferenceServer(tmp_path / "s") as server:
        for _ in range(20):
            register(server, KEYS["rsa"])
        first = kinds()
        register(server, KEYS["p384"])
        assert sum(one != other for one, other in zip(first, kinds(), strict=True)) < 20
        for _ in range(LOOKED_AT - 21):
            register(server, KEYS["p256"])
        last = kinds()
        guid = guid_of(server)
        for _ in range(40):
            register(server, KEYS["p384"])
        assert server.cale.authorization.revoke(guid)
        assert kinds() == last
    with ReferenceServer(tmp_path / "s") as server:
        assert kinds() == last


@pytest.mark.slow
def test_strangers_are_like_the_owners_that_an_operator_names_cale_36(server):
    """From the first registration on."""
    server.policy.cale.strangers_like = (server.user,)
    register(server, KEYS["p256"])
    server.users.add("other", "secret")
    other = ("Authorization", "Basic " + base64.b64encode(b"other:secret").decode())
    for _ in range(20):
        register(server, KEYS["rsa"], headers=[other])
    assert {kind_of(get(server, path, guid).body) for guid in strangers(10) for path in PATHS} == {"p256"}


def test_strangers_are_like_many_owners_cale_36():
    """Who registers most has no larger share than others, as long as there are others."""
    records = MemoryRecords()
    now = datetime.now(UTC)
    for number in range(LOOKED_AT + 10):
        owner = "one" if 4 <= number < 40 else f"owner {number}"
        records.add(CsrRecord(str(number), owner, b"", now))
    models = Models(records)
    assert len(models.all()) == 32
    assert sum(one.identity == "one" for one in models.all()) == 4
    assert all(int(one.guid) < LOOKED_AT for one in models.all())
    chosen = [models.of(uuid.uuid4().bytes) for _ in range(400)]
    assert len({one.guid for one in chosen}) > 24


@pytest.mark.parametrize("others", [1, 5, 20])
def test_who_registers_many_on_a_young_site_changes_half_of_the_strangers_at_most_cale_36(others):
    """More of an owner than of all others together count only if nobody was there before."""
    records, now = MemoryRecords(), datetime.now(UTC)
    for number in range(others):
        records.add(CsrRecord(f"a{number}", "alice", b"", now))
    models, marks = Models(records), [uuid.uuid4().bytes for _ in range(400)]
    before = [models.of(mark) for mark in marks]
    assert len(set(before)) == others
    for number in range(24):
        records.add(CsrRecord(f"m{number}", "mallory", b"", now))
    assert 0 < sum(one is not models.of(mark) for one, mark in zip(before, marks, strict=True)) < 260


def test_the_log_says_whom_no_stranger_is_like_cale_36(server):
    """What the operator can do about it takes somebody who registers all kinds, and here is the word that it is needed."""
    register(server, KEYS["p256"])
    server.policy.cale.strangers_like = (server.user,)
    server.users.add("other", "secret")
    other = ("Authorization", "Basic " + base64.b64encode(b"other:secret").decode())
    for kind, said in (("p256", None), ("rsa", "no stranger is like this client")):
        register(server, KEYS[kind], headers=[other])
        lines = [one for one in server.log() if one.get("operation") == "registration"]
        assert lines[-1].get("strangers") == said


@pytest.mark.parametrize("kind", ["rsa", "p256"])
@pytest.mark.parametrize("aead", [False, True])
def test_a_revoked_client_keeps_its_key_cale_49(server, kind, aead):
    """Whoever asks with the GUID before and after must not see that it was revoked."""
    server.policy.cale_hardened, server.policy.cale_aead = True, aead
    register(server, KEYS[kind])
    guid = guid_of(server)
    before = {path: get(server, path, guid, tls=TLS_13) for path in PATHS}
    assert server.cale.authorization.revoke(guid)
    for path, real in before.items():
        decoy = get(server, path, guid, tls=TLS_13)
        assert name_in(decoy.body) == name_in(real.body)
        assert decoy.headers == real.headers
        assert abs(len(decoy.body) - len(real.body)) <= (24 if path == "/whoami" else 0)


@pytest.mark.parametrize("kind", KEYS)
def test_a_recipient_named_by_its_key_has_one_name(server, kind):
    """CALE-68: a client's key identifier is the same in every answer, so a stranger's is, too."""
    server.policy.cale_hardened = True
    register(server, KEYS[kind])
    for guid in (guid_of(server), STRANGER):
        assert len({name_in(get(server, path, guid).body) for path in (*PATHS, *PATHS)}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("aead", [False, True])
def test_the_length_of_a_document_is_remembered_over_a_restart_cale_37(tmp_path, aead):
    document = b"x" * 1000
    with ReferenceServer(tmp_path / "s") as server:
        server.policy.cale_aead = aead
        server.cale.resource.documents["/long"] = document
        register(server, KEYS["p256"])
        guid = guid_of(server)
        real = get(server, "/long", guid, tls=TLS_13)
    with ReferenceServer(tmp_path / "s") as server:
        server.policy.cale_aead = aead
        decoy = get(server, "/long", STRANGER, tls=TLS_13)
        assert len(decoy.body) == len(real.body)
        # another version of the document: after a while nobody gets the old length any more
        server.cale.resource.documents["/long"] = document * 2
        for _ in range(20):
            real = get(server, "/long", guid, tls=TLS_13)
        assert {len(get(server, "/long", one, tls=TLS_13).body) for one in strangers(10)} == {len(real.body)}


@pytest.mark.slow
def test_paths_that_do_not_exist_fill_no_memory(server):
    register(server, KEYS["p256"])
    guid = guid_of(server)
    for number in range(50):
        get(server, f"/nowhere/{number}", guid)
    assert server._database.rows("SELECT * FROM answer_lengths") == []


def test_memory_of_lengths_is_bounded(server, monkeypatch):
    sizes = AnswerSizes(server._database, most_paths=10, most_queries=10)
    for number in range(30):
        sizes.learn(f"/{number}", 160, aead=False)
    assert len(server._database.rows("SELECT * FROM answer_lengths")) == 10
    assert sizes.plaintext_length("/29", b"", aead=False) // 16 == 9
    assert sizes.plaintext_length("/0", b"", aead=False) // 16 == 0


def test_a_curve_has_decoys_of_its_own_points(server):
    """RFC 5753: the ephemeral key is a point of the curve, or a decoy is told by arithmetic."""
    register(server, ec.generate_private_key(ec.SECP521R1()))
    info = recipient_of(get(server, "/resource", STRANGER).body)
    point = info["kari"]["originator"]["originatorKey"]["publicKey"].asOctets()
    assert ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP521R1(), point)


def test_what_is_learnt_of_an_answer_is_part_of_its_time_cale_38(server, monkeypatch):
    """It was half a millisecond that strangers never took."""
    register(server, KEYS["p256"])
    guid = guid_of(server)
    learn = server.cale.edge._decoys.learn
    monkeypatch.setattr(server.cale.edge._decoys, "learn", lambda *of: (time.sleep(0.1), learn(*of)))
    get(server, "/resource", guid)
    started = time.monotonic()
    get(server, "/resource", strangers(1)[0])
    assert time.monotonic() - started > 0.1


def test_lengths_of_earlier_versions_serve_for_every_form_cale_37(tmp_path):
    """Until the next answer says what it is in each."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.execute("CREATE TABLE answer_sizes (path TEXT NOT NULL, aead INTEGER NOT NULL, length INTEGER NOT NULL)")
        old.execute("INSERT INTO answer_sizes VALUES ('/doc', 1, 512)")
        old.commit()
    with closing(Database(path)) as database:
        sizes = AnswerSizes(database)
        assert sizes.plaintext_length("/doc", b"", aead=True) == 512
        assert sizes.plaintext_length("/doc", b"", aead=True, whole=True) == 512
        for _ in range(16):
            sizes.learn("/doc", 528, aead=False, lengths=Lengths(512, 768))
    with closing(Database(path)) as database:
        again = AnswerSizes(database)
        assert again.plaintext_length("/doc", b"", aead=True) == 512
        assert again.plaintext_length("/doc", b"", aead=True, whole=True) == 768


def test_a_length_learnt_in_one_form_serves_for_all_cale_37(tmp_path):
    """Who asks chooses the suite, and so the form: one that no client uses must not show what nobody has read."""
    with closing(Database(tmp_path / "sizes.sqlite")) as database:
        sizes = AnswerSizes(database, lambda: 256)
        for number, length in enumerate((512, 2048, 4096)):
            sizes.learn("/doc", length + 16 * (number % 2), aead=number % 2 == 0)
        for mark in (b"one", b"another", b"third"):
            length = sizes.plaintext_length("/doc", mark, aead=True)
            assert length in {512, 2048, 4096}
            assert sizes.plaintext_length("/doc", mark, aead=False) // 16 * 16 == length
            assert sizes.plaintext_length("/doc", mark, aead=False, whole=True) // 16 * 16 == length
