"""Whether anybody can tell the answer to a client from a decoy to a stranger: statistics with known power (CALE-36 to CALE-38).

A feature that no client's answer has and 1 in 100 decoys has would be seen with a probability of 99 per cent by ANSWERS
requests a side.
"""

from __future__ import annotations

import base64
import dataclasses
import itertools
import random
import re
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from device_sdk_simulators.cale.stand_ins import stand_in_key
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.server import ReferenceServer

from device_sdk.wire.binary_http import BINARY_HTTP
from device_sdk.wire.csr import build_csr
from device_sdk.wire.csr_capabilities import with_capabilities
from tests.cale.parts import SPEC
from tests.cale_security.ranks import CERTAIN, kolmogorov_smirnov
from tests.cale_security.strangers import SUITE, Verdict, collect, compare, guids
from tests.simulators.server.support import PKCS10, basic, client_context, make_csr

pytestmark = pytest.mark.slow

ANSWERS = 500
SLOT_ANSWERS = 200
CLIENTS = 12
SLOT_S = 0.025
KEYS = {"rsa": rsa.generate_private_key(65537, 2048), "p256": ec.generate_private_key(ec.SECP256R1())}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReferenceServer]:
    with ReferenceServer(tmp_path / "server") as running:
        yield running


def register(server: ReferenceServer, kind: str, count: int = CLIENTS, *, whole: bool = False) -> list[str]:
    """The GUIDs of so many clients with one kind of key, which take whole responses or do not say so."""
    der = make_csr(KEYS[kind])
    if whole:
        der = build_csr(with_capabilities(SPEC, KEYS[kind].public_key(), contents=(BINARY_HTTP,)), KEYS[kind])
    pem = x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)
    for _ in range(count):
        answer = server.handle(Request("POST", "/registration", [PKCS10, basic(server)], pem, SUITE))
        assert answer.status == 200
    return guids(server)


def told_apart(verdict: Verdict) -> list[str]:
    """Features that tell decoys from answers."""
    return [name for name in verdict.proportions if verdict.proportions[name] > CERTAIN or verdict.alone[name] > 0]


def one_in(count: int, change: Callable[[Response], Response]) -> Callable[[Response], Response]:
    turns = itertools.count()
    return lambda response: change(response) if next(turns) % count == 0 else response


def longer(response: Response) -> Response:
    message = base64.b64decode(response.body)
    return dataclasses.replace(response, body=base64.encodebytes(message + bytes(16)))


def other_order(response: Response) -> Response:
    return dataclasses.replace(response, headers=response.headers[::-1])


def one_line(response: Response) -> Response:
    return dataclasses.replace(response, body=base64.b64encode(base64.b64decode(response.body)) + b"\n")


def other_status(response: Response) -> Response:
    return dataclasses.replace(response, status=403)


WORSE = {
    "length of the body": longer,
    "header fields and their order": other_order,
    "form of the lines": one_line,
    "status": other_status,
}
"""What a worse server would do to a decoy, by the feature that shows it."""


@pytest.mark.parametrize(
    ("path", "kind", "hardened", "whole"),
    # every pair of two of them
    [
        ("/resource", "rsa", False, False),
        ("/resource", "p256", True, True),
        ("/nowhere", "rsa", True, True),
        ("/nowhere", "p256", False, True),
        ("/nowhere", "p256", True, False),
    ],
    ids=[
        "resource-rsa-draft-bare",
        "resource-p256-hardened-whole",
        "nowhere-rsa-hardened-whole",
        "nowhere-p256-draft-whole",
        "nowhere-p256-hardened-bare",
    ],
)
def test_cale_36_cale_38_decoys_have_every_feature_of_answers(
    server: ReferenceServer, kind: str, path: str, hardened: bool, whole: bool
) -> None:
    """Status, headers in order, length, lines, DER shape; and one bad decoy in a hundred of the same sample is seen."""
    server.policy.cale_hardened = server.policy.cale_aead = hardened
    sample = collect(server.handle, register(server, kind, whole=whole), path, ANSWERS)
    verdict = sample.verdict()
    assert told_apart(verdict) == [], verdict
    for feature, worse in WORSE.items():
        verdict = sample.disguised(one_in(100, worse)).verdict()
        assert feature in told_apart(verdict)
        assert verdict.alone[feature] == pytest.approx(0.01)


@pytest.mark.parametrize("padding", [0, 1024])
def test_cale_35_cale_37_whoami(server: ReferenceServer, padding: int) -> None:
    """The certificate inside has a signature of 70 to 72 bytes; buckets hide that, and chance does otherwise."""
    server.policy.cale_hardened = True
    server.policy.cale.padding = padding
    verdict = compare(server.handle, register(server, "rsa"), "/whoami", ANSWERS)
    assert max(verdict.proportions.values()) < CERTAIN, verdict
    assert max(verdict.alone.values()) < 0.01, verdict


@pytest.mark.parametrize("path", ["/resource", "/whoami"])
def test_cale_38_with_slots_time_says_nothing(server: ReferenceServer, path: str) -> None:
    """Every answer leaves at a multiple of the slot: what is left is below 2 per cent of it, or was not seen."""
    server.policy.cale.slot_s = SLOT_S
    verdict = compare(server.handle, register(server, "rsa", whole=True), path, SLOT_ANSWERS)
    assert verdict.typical > 0.9e6 * SLOT_S
    assert verdict.later.at_least < 0.02e6 * SLOT_S, verdict
    # by chance it is 0.50 with a standard deviation of 0.039; who is told by a slot is guessed always
    assert verdict.guessed.accuracy < 0.68, verdict


@pytest.mark.parametrize(("padding", "same"), [(0, False), (2048, True)])
def test_cale_37_a_document_of_many_lengths(server: ReferenceServer, padding: int, same: bool) -> None:
    """What stays without buckets: who gets another length at once is a client; strangers only after a client has asked."""
    server.policy.cale.padding = padding
    clients = register(server, "rsa")
    chance = random.Random("lengths")  # noqa: S311  # repeatable
    changes = {clients[0]: 0, str(uuid.uuid4()): 0}
    for _ in range(30):
        for guid in changes:
            seen = set()
            for _ in range(2):
                server.cale.resource.documents["/changing"] = b'"%s"' % (b"x" * chance.randrange(20, 1500))
                seen.add(len(server.handle(Request("GET", "/changing", [("CALE-GUID", guid)], tls=SUITE)).body))
            changes[guid] += len(seen) > 1
    client, stranger = changes.values()
    assert stranger == 0
    assert (client == 0) is same
    assert same or client > 20


def test_over_tls_the_heads_are_the_same_bytes(server: ReferenceServer) -> None:
    """To the last byte, but for the date."""
    guid = register(server, "rsa")[0]
    heads = {
        _head(server, path, one) for path in ("/resource",) for _ in range(20) for one in (guid, str(uuid.uuid4()))
    }
    assert len(heads) == 1, heads


def _head(server: ReferenceServer, path: str, guid: str) -> bytes:
    with (
        socket.create_connection(("localhost", server.port), 20) as plain,
        client_context(server).wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCALE-GUID: {guid}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        data = b"".join(iter(lambda: connection.recv(65536), b""))
    return re.sub(rb"\r\nDate: [^\r]*", b"", data.partition(b"\r\n\r\n")[0])


def test_cale_36_moduli_of_nobody_are_as_large_as_real_ones() -> None:
    """Who asks often enough sees how large a modulus is; products of two primes are rarely near the ends of the range.

    Only the real ones are others in every run: 4.4 per cent of their products are near the ends, with a standard deviation
    of 1; and the other limit is passed once in a million runs.
    """
    with ThreadPoolExecutor(2) as pool:
        made = [key.private_numbers() for key in pool.map(lambda _: rsa.generate_private_key(65537, 2048), range(80))]
    real = [float(one.public_numbers.n >> 1984) for one in made]
    # any two of the primes could have been one key's: more products of the same time's work
    primes = [float(prime >> 992) for one in made for prime in (one.p, one.q)]
    products = [one * other for one, other in itertools.combinations(primes, 2)]
    nobody = [stand_in_key(2048, number.to_bytes(32, "big")) for number in range(2000)]
    large = []
    for key in nobody:
        assert isinstance(key, rsa.RSAPublicKey)
        assert (key.key_size, key.public_numbers().n % 2) == (2048, 1)
        large.append(float(key.public_numbers().n >> 1984))
    assert kolmogorov_smirnov(real, large)[1] > 1e-6
    assert near_the_ends(large) < 0.06
    assert near_the_ends(products) < 0.11
    uniform = [random.Random(number).uniform(2**63, 2**64) for number in range(2000)]  # noqa: S311
    assert near_the_ends(uniform) > 0.16, "the test itself sees the difference"
    assert kolmogorov_smirnov(large, uniform)[1] < 1e-7


def near_the_ends(moduli: list[float]) -> float:
    """The share of those in the first and the last tenth of the range."""
    return sum(not 0.55 < one / 2**64 < 0.95 for one in moduli) / len(moduli)


# -- what the test sees


def test_the_draft_decoy_is_told_at_first_sight(server: ReferenceServer) -> None:
    """Appendix B.2.3c as printed: text, of its own length."""
    server.policy.cale.decoys = "draft"
    verdict = compare(server.handle, register(server, "rsa"), "/resource", 50)
    assert {"length of the body", "first bytes", "shape"} <= set(told_apart(verdict))
    assert verdict.alone["shape"] == 1.0


def test_a_decoy_that_comes_as_soon_as_it_is_made_is_seen(server: ReferenceServer) -> None:
    server.cale.edge._decoys.due = lambda *_: 0.0  # type: ignore[method-assign]  # what a careless server does
    # decoys take half as long: who sees that at all guesses nearly always
    verdict = compare(server.handle, register(server, "rsa"), "/resource", 200)
    assert verdict.later.seen, verdict
    assert verdict.guessed.deviations > CERTAIN, verdict
