"""Whoever does not know a client's key cannot find out which GUIDs are registered, whatever is asked (CALE-24, CALE-38)."""

from __future__ import annotations

import base64
import re
import socket
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
from device_sdk_simulators.cale.envelope import ciphertext_length
from device_sdk_simulators.http.messages import Response
from pyasn1.codec.der.encoder import encode

from tests.simulators.cale.support import STRANGER, basic
from tests.simulators.server.test_decoys import kind_of, recipient_of

SLOT_S = 0.2
LAST = b"GET /resource HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCALE-GUID: {guid}\r\n\r\n"
"""Sent after everything else: whether it is answered says whether the connection was kept."""


def asked(target: bytes = b"/resource", *fields: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: localhost", b"CALE-GUID: {guid}", *fields]
    return b"\r\n".join([*lines, b"", b""]) + body


TARGETS = [
    b"/resource", b"/resource?", b"/resource?x=1", b"/nowhere", b"/", b"/identity", b"/ciphers", b"/registration",
    b"/whoami", b"/whoami?x", b"/%77hoami", b"/whoami/", b"//whoami", b"/WHOAMI", b"/whoami#x", b"/whoami%00", b"/./whoami",
    b"/a/../b", b"/%2e%2e/x", b"/%ff", b"/%00", b"/a%2fb", b"/a\\b", b"/a#b", b"/a;b=c", b"/%", b"/%zz", b"//", b"/?/../..",
    b"/\xe9", b"/caf\xe9", b"/a?\xe9", b"/a?\x80", b"/a\x9fb", b"/a\x85", b"/a\xa0b", b"/a\x7fb", b"/a\x00b", b"/a\tb", b"/a\x0bb",
    b"/a b", b"/a HTTP/1.1", b"/whoami\xe9", b"/registration\xe9",
    b"/" + b"a" * 7999, b"/" + b"a" * 8000, b"/a?" + b"b" * 7990, b"/" + b"a" * 12000, b"/" + b"a" * 15500, b"/" + b"a" * 17000,
    b"/" + b"%41" * 2600, b"/whoami?" + b"a" * 9000,
    b"*", b"resource", b"http://localhost/resource", b"https://localhost/resource", b"HTTPS://other:1/whoami", b"https://x",
    b"https://x?y", b"https:///resource", b"localhost:443",
]  # fmt: skip
FIELDS = [
    [b"User-Agent: " + b"x" * 9000], [b"User-Agent: " + b"x" * 8190], [b"User-Agent: " + b"x" * 8191],
    [b"Accept: " + b"x" * 7000, b"User-Agent: " + b"x" * 7000], [b"X-Other: " + b"x" * 9000], [b"X-Other: " + b"x" * 17000],
    [b"Accept: a"] * 50, [b"Accept: a"] * 60, [b"Accept: a"] * 62, [b"Accept: a"] * 70, [b"X: y"] * 60,
    [b"Accept: \xff\x80"], [b"Accept: \xe9\xa0"], [b"Accept: a\x00b"], [b"Accept: a\x7fb"], [b"Accept: a\x1bb"], [b"Accept:"],
    [b"Accept: a\tb"], [b"Accept: a", b" folded"], [b"Accept : a"], [b": a"], [b"no colon"], [b"Accept-Language: \x85\x9f"],
    [b"User-Agent: \xc2\x85"], [b"Host: other"], [b"Host:"], [b"Host: a b"], [b"Host: \xe9"], [b"X-Forwarded-For: 1"],
    [b"Range: bytes=0-3"], [b"If-None-Match: *"], [b"If-Modified-Since: Sat, 21 Nov 2026 00:00:00 GMT"], [b"Accept-Encoding: gzip"],
    [b"Expect: 100-continue"], [b"Expect: a miracle"], [b"Upgrade: h2c", b"Connection: Upgrade"], [b"Upgrade: websocket"],
    [b"Connection: close"], [b"Connection: keep-alive"], [b"Connection: CALE-GUID"], [b"TE: trailers"], [b"Max-Forwards: 0"],
    [b"CALE-PEM: x"], [b"Client-Cert: :x:"], [b"Cipher: NULL"], [b"CALE-Identity: device"], [b"CALE-Correlation: " + b"x" * 5000],
    [b"CALE-GUID: {guid}"], [b"CALE-GUID: " + STRANGER.encode()], [b"CALE-GUID:"], [b"Authorization: Basic ZGV2aWNlOndyb25n"],
    [b"Content-Type: text/plain"], [b"Content-Length: 0"], [b"Content-Length: -1"], [b"Content-Length: 1, 1"],
    [b"Content-Length: 99999999"], [b"Transfer-Encoding: gzip"], [b"Transfer-Encoding: chunked", b"Content-Length: 3"],
]  # fmt: skip
BODIES = [
    asked(b"/resource", b"Content-Length: 3", body=b"abc"),
    asked(b"/whoami", b"Content-Length: 3", body=b"abc"),
    asked(b"/resource", b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
    asked(b"/resource", b"Content-Length: 3", b"Expect: 100-continue", body=b"abc"),
    asked(b"/resource", b"Content-Length: 3", b"Expect: a miracle", body=b"abc"),
    asked(b"/resource", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
    asked(b"/resource", b"Transfer-Encoding: chunked", body=b"3\r\nabcd\r\n0\r\n\r\n"),
    asked(b"/resource", b"Transfer-Encoding: chunked", body=b"zz\r\n\r\n"),
    asked(b"/resource", b"Content-Length: 60000", body=b"a" * 60000),
]
LINES = [
    b"GET /resource HTTP/1.0\r\nCALE-GUID: {guid}\r\n\r\n",
    b"GET /resource HTTP/1.0\r\nConnection: keep-alive\r\nCALE-GUID: {guid}\r\n\r\n",
    b"GET /resource HTTP/1.1\r\nCALE-GUID: {guid}\r\n\r\n",
    b"GET /resource HTTP/2.0\r\nCALE-GUID: {guid}\r\n\r\n",
    b"GET /resource\r\nCALE-GUID: {guid}\r\n\r\n",
    b"GET  /resource HTTP/1.1\r\nCALE-GUID: {guid}\r\n\r\n",
    b"\r\nGET /resource HTTP/1.1\r\ncale-guid:\t{guid} \t\r\n\r\n",
    b"GET /resource HTTP/1.1\r\nCALE-GUID: {{guid}}\r\n\r\n",
    b"GET /resource HTTP/1.1\r\nCALE-GUID: urn:uuid:{guid}\r\n\r\n",
    b"GET /resource HTTP/1.1\r\nCALE-GUID: {guid},{guid}\r\n\r\n",
]
METHODS = [
    b"HEAD",
    b"POST",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"get",
    b"PROPFIND",
    b"!#$%",
]


def cases(proof: bytes) -> list[bytes]:
    """Everything that is asked once as a client and once as a stranger."""
    changes = [
        asked(b"/resource", *more, b"Content-Length: 3", method=method, body=b"abc")
        for method in (b"POST", b"PUT")
        for more in ([], [proof], [b"Authorization: Bearer x"], [proof, b"Content-Type: " + b"x" * 9000])
    ]
    heads = [asked(target, method=b"HEAD") for target in (b"/whoami", b"/caf\xe9", b"/nowhere")]
    return [
        *(asked(target) for target in TARGETS),
        *(asked(b"/resource", *fields) for fields in FIELDS),
        *(asked(target, method=method) for method in METHODS for target in (b"/resource", b"/whoami")),
        *changes, *heads, *BODIES, *LINES,
    ]  # fmt: skip


@dataclass(frozen=True)
class Sight:
    """What is seen of one conversation: the answers, what names the recipient in them, and how long it took."""

    answers: tuple[object, ...]
    identifiers: frozenset[bytes]
    took: float


def converse(client, case: bytes, guid: str) -> Sight:
    data = (case + LAST).replace(b"{guid}", guid.encode())
    where = (client.connection.host, client.connection.port)
    with (
        socket.create_connection(where, timeout=30) as plain,
        client.context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        started = time.monotonic()
        answer = b""
        with suppress(OSError):
            sock.sendall(data)
        with suppress(OSError):
            while piece := sock.recv(65536):
                answer += piece
        took = time.monotonic() - started
    answers, identifiers = read(answer, head_first=case.lstrip().startswith(b"HEAD"))
    return Sight(answers, identifiers, took)


def read(data: bytes, *, head_first: bool) -> tuple[tuple[object, ...], frozenset[bytes]]:
    answers: list[object] = []
    identifiers = set()
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        head = re.sub(rb"\r\nDate: [^\r]*", b"", head)
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        size = int(length[1]) if length and not (head_first and not answers) else 0
        body, data = data[:size], data[size:]
        if b"pkcs7-mime" in head and body:
            info = recipient_of(body)
            inside = ciphertext_length(base64.b64decode(body))[2]
            answers.append((head, kind_of(body), bytes(encode(info["ktri"]["keyEncryptionAlgorithm"])), inside))
            identifiers.add(bytes(info["ktri"]["rid"]["subjectKeyIdentifier"]))
        else:
            answers.append((head, body))
    return tuple(answers), frozenset(identifiers)


@pytest.fixture
def strict(make_site):
    site = make_site(slot_s=SLOT_S, padding=1024, methods=("POST",))
    for policy in site.policies.values():
        policy.cale_hardened = policy.cale_aead = True
    return site


@pytest.fixture
def known(strict, make_client):
    client = make_client(strict)
    # of the two kinds of clients the one whose answers have more to be told by
    assert client.register(strict.authorization, whole=True) == 200
    return client


@pytest.mark.slow
def test_registered_and_unknown_guids_get_the_same_answers_whatever_is_asked_cale_24_cale_38(strict, known):
    """Status, fields, form, key, connection and time: methods, targets, fields and bodies of every odd kind."""
    name, value = next(iter(basic("device", strict.password).items()))
    everything = cases(f"{name}: {value}".encode())
    sides = {"client": known.guid, "stranger": str(uuid.uuid4())}
    names = {side: met(strict, known, asked(), guid) for side, guid in sides.items()}
    nobody = met(strict, known, LINES[-1], STRANGER) - met(strict, known, asked(), STRANGER)
    assert [len(one) for one in (*names.values(), nobody)] == [1, 1, 1]
    # how long an answer to /whoami is, the edge device learns from the first one that is in time, whoever gets it
    met(strict, known, asked(b"/whoami"), STRANGER)
    with ThreadPoolExecutor(12) as pool:
        sights = {
            side: list(pool.map(lambda case, guid=guid: converse(known, case, guid), everything))
            for side, guid in sides.items()
        }
    told = [
        (case[:100], client.answers, stranger.answers)
        for case, client, stranger in zip(everything, *sights.values(), strict=True)
        if client.answers != stranger.answers
    ]
    assert told == []
    for side in sides:
        assert {one for sight in sights[side] for one in sight.identifiers} <= names[side] | nobody
    statuses = {answer[0][9:12] for sight in sights["client"] for answer in sight.answers}
    assert statuses >= {b"200", b"400", b"401", b"405", b"411", b"413", b"414", b"417", b"431", b"505"}
    assert b"500" not in statuses
    late = [
        case[:100]
        for case, *pair in zip(everything, *sights.values(), strict=True)
        if is_told(known, case, sides, pair)
    ]
    assert late == []


def met(site, client, case: bytes, guid: str) -> frozenset[bytes]:
    """The recipient in the answers to a GUID, once the authorization server was there in time."""
    for _ in range(50):
        before = len(site.roles["authz"].log())
        sight = converse(client, case, guid)
        new = site.edge.log()[-2:]
        if len(site.roles["authz"].log()) - before == 2 and not any("slot" in str(one.get("reason")) for one in new):
            return sight.identifiers
    return pytest.fail("the servers never answered within a slot")


def is_told(known, case: bytes, sides: dict[str, str], pair: list[Sight]) -> bool:
    """Whether client and stranger differ in time by half a slot, each time the machine looks."""
    took = [sight.took for sight in pair]
    for _ in range(6):
        if abs(took[0] - took[1]) < SLOT_S / 2:
            return False
        # the machine was busy: the shortest of several
        took = [min(old, converse(known, case, guid).took) for old, guid in zip(took, sides.values(), strict=True)]
    return True


@contextmanager
def silent(role) -> Iterator[None]:
    """A server that takes requests and answers none, as one that is stopped or behind a broken network."""
    answer, end = role._logged, threading.Event()

    def never(handler, request):
        end.wait(20)
        return Response(503)

    role._logged = never
    try:
        yield
    finally:
        end.set()
        role._logged = answer


@pytest.mark.slow
@pytest.mark.parametrize("role", ["authz", "origin", "resource"])
def test_an_outage_is_not_told_by_time_cale_24_cale_38(strict, known, role):
    """Nobody waits for longer than a slot; what does not come in it is a decoy like any other."""
    known.read("/resource")
    usual = {guid: converse(known, asked(), guid) for guid in (known.guid, STRANGER)}
    with silent(strict.roles[role]):
        for guid, sight in usual.items():
            down = [converse(known, asked(), guid) for _ in range(3)]
            assert {one.answers for one in down} == {sight.answers}
            assert {one.identifiers for one in down} == {sight.identifiers}
            # two requests, two slots; the servers behind would be waited for 3 s
            assert statistics.median(one.took for one in down) < 3


@pytest.mark.slow
def test_a_late_answer_is_a_decoy_or_waits_by_rule(make_site, make_client):
    site = make_site(slot_s=0.1)
    client = make_client(site)
    assert client.register(site.authorization) == 200
    resource = site.roles["resource"]
    answer = resource._logged

    def slow(handler, request):
        time.sleep(0.25)
        return answer(handler, request)

    resource._logged = slow
    assert client.read("/resource") is None
    assert site.edge.log()[-1]["reason"] == "no answer before the end of the slot"
    site.policies["edge"].cale.late = "wait"
    assert client.read("/resource") == b'{"foo": "bar"}\n'
