"""An error of a server inside, and who gets it: neither says who is registered (CALE-24, CALE-37)."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable

import pytest
from device_sdk_simulators.cale.answer_sizes import AnswerSizes
from device_sdk_simulators.cale.certificates import owner_of
from device_sdk_simulators.cale.headers import certificate_of
from device_sdk_simulators.cale.hops import HopError, HopTimeoutError
from device_sdk_simulators.http.messages import Request, Response

from device_sdk.protocols.cale.answers import open_document
from tests.simulators.server.test_cale import KEYS, get, guid_of
from tests.simulators.server.test_failures import CLIENTS, TLS, register, register_as

LONG = Response(200, [("Content-Type", "application/json")], b'"%s"' % (b"x" * 3000))


def down(error: Exception) -> Callable[..., Response]:
    def fails(*_of: object) -> Response:
        raise error

    return fails


def lengths(server, path: str, guids: list[str]) -> set[int]:
    return {len(get(server, path, guid, tls=TLS).body) for guid in guids}


def strangers(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


@pytest.mark.parametrize("error", [HopError("down"), HopTimeoutError("slow")])
@pytest.mark.parametrize("kind", ["rsa", "rsa for whole responses"])
def test_an_outage_is_as_long_as_the_answers_before_it_cale_24_cale_37(server, kind, error):
    """The first question after it, and all others; a decoy has the length of what was there before."""
    key, oids = CLIENTS[kind]
    guid = register(server, key, oids)
    server.cale.resource.handle = lambda *_: LONG
    before = lengths(server, "/doc", [guid])
    server.cale.origination._resource, resource = down(error), server.cale.origination._resource
    assert lengths(server, "/doc", strangers(4)) == before
    for _ in range(20):
        body = get(server, "/doc", guid, tls=TLS).body
        assert {len(body)} == before
    status = 504 if isinstance(error, HopTimeoutError) else 502
    assert open_document(body, key, "", lambda found: found.status) == status
    server.cale.origination._resource = resource
    assert lengths(server, "/doc", [guid, *strangers(4)]) == before


def test_a_path_nobody_read_has_short_errors_cale_37(server):
    guid = register(server, KEYS["rsa"])
    server.cale.origination._resource = down(HopError("down"))
    assert len(lengths(server, "/new", [guid, *strangers(4)])) == 1
    assert server._database.rows("SELECT * FROM answer_lengths") == []


def test_what_is_gone_becomes_short_for_everybody_cale_37(server):
    """Otherwise a large document that was deleted would be paid for as long as anybody asks."""
    guid = register(server, KEYS["rsa"])
    server.cale.resource.handle = lambda *_: LONG
    long = lengths(server, "/doc", [guid])
    server.cale.resource.handle = lambda *_: Response(404)
    assert lengths(server, "/doc", [guid]) == long
    (short,) = lengths(server, "/doc", [guid, *strangers(4)])
    assert short < min(long)


def test_who_may_not_read_a_path_changes_nothing_there_cale_37(server):
    """A 403 is for one owner; others go on getting what is there."""
    server.policy.cale.grants = {"alice": ("reader",)}
    server.policy.cale.scopes = {"/doc": "reader"}
    server.cale.resource.handle = lambda *_: LONG
    mallory, alice = register(server, KEYS["p256"]), register_as(server, "alice", KEYS["p256"])
    long = lengths(server, "/doc", [alice])
    for _ in range(20):
        assert lengths(server, "/doc", [mallory]) == long
    assert lengths(server, "/doc", strangers(8)) == long


def test_an_owner_with_a_document_of_his_own_is_one_of_many_cale_37(server):
    """Otherwise one registration makes all strangers like itself, and asks whose answers are not."""

    def by_owner(request: Request, _peer: str) -> Response:
        name = owner_of(certificate_of(request)).name
        return Response(200, [("Content-Type", "application/json")], b" " * (500 if name == "alice" else 3000))

    server.cale.resource.handle = by_owner
    mallory, alice = register(server, KEYS["p256"]), register_as(server, "alice", KEYS["p256"])
    both = lengths(server, "/me", [alice]) | lengths(server, "/me", [mallory])
    for _ in range(40):
        get(server, "/me", mallory, tls=TLS)
    assert lengths(server, "/me", strangers(40)) == both
    # and by a path with queries of any length
    sizes = AnswerSizes(server._database)
    for number in range(40):
        sizes.learn("/me", 5000 + 256 * number, aead=True, query=str(number), owner="mallory")
    sizes.learn("/me", 512, aead=True, query="mine", owner="alice")
    for number in range(40):
        sizes.learn("/me", 5000 + 256 * number, aead=True, query=str(number), owner="mallory")
    new = {sizes.plaintext_length("/me", uuid.uuid4().bytes, aead=True, query="new") for _ in range(400)}
    assert 512 in new


def test_the_lengths_that_an_edge_device_names_are_bounded_cale_61(server):
    """Whoever may ask an origination server could else make it write as much as it likes."""
    guid = register(server, KEYS["p256"])
    server.cale.resource.handle = lambda *_: Response(404)
    origination, asked = server.cale.edge._origination, []

    def greedy(request: Request) -> Response:
        asked.append(request)
        fields = [
            (name, "999999999999 999999999999" if name == "CALE-Lengths" else value) for name, value in request.headers
        ]
        return origination(Request(request.method, request.target, fields, request.body))

    server.cale.edge._origination = greedy
    body = get(server, "/doc", guid, tls=TLS).body
    assert [name for name, _value in asked[0].headers].count("CALE-Lengths") == 1
    assert len(base64.b64decode(body)) < 2000
    assert guid_of(server)
