"""Guesses at passwords and shared secrets of the EST server cost pauses, which lock nobody out (RFC 7030 section 6)."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.est import EstClient
from device_sdk.errors import CmcUnavailableError
from device_sdk.model.csr import CsrSpec
from device_sdk.model.secret import Secret
from device_sdk.model.trust import ServerTrust
from device_sdk.wire.cmc import oids
from device_sdk.wire.cmc.pki_data import pki_data, request_sequence, revoke_request
from device_sdk.wire.cmc.proofs import SharedSecret
from device_sdk.wire.cms.signing import sign_data
from tests.simulators.server.full_cmc_requests import MEDIA, SECRET, TLS, Draft, new_key, refused, said, spki
from tests.simulators.server.support import EST, PKCS10, make_csr, name

FREE, FREE_FROM_ONE_ADDRESS = 20, 100
TRY_LATER = 12
GUESSER, DEVICE = "203.0.113.9", "192.0.2.7"


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(server) -> Hand:
    server.clock = Hand()
    return server.clock


@pytest.fixture
def cmc(server, clock):
    server.policy.fullcmc = True
    server.est.full_cmc.store.add_secret("dev-1", SECRET.encode())
    return server


Guess = Callable[..., Response]


def by_full_cmc(server: ReferenceServer, message: bytes, source: str) -> Response:
    return server.handle(Request("POST", f"{EST}fullcmc", [MEDIA], base64.b64encode(message), TLS, source=source))


def proof(server: ReferenceServer, secret: str, source: str = GUESSER, who: str | None = "dev-1") -> Response:
    """An enrolment by shared secret."""
    return by_full_cmc(server, Draft(secret=secret, identification=who, signed_at=server.clock()).message(), source)


def basic(server: ReferenceServer, password: str, source: str = GUESSER, who: str = "device") -> Response:
    """An enrolment by password."""
    value = "Basic " + base64.b64encode(f"{who}:{password}".encode()).decode()
    headers = [PKCS10, ("Authorization", value)]
    return server.handle(Request("POST", f"{EST}simpleenroll", headers, make_csr(), TLS, source=source))


@pytest.fixture
def revocation(cmc) -> Guess:
    """A revocation by passphrase."""
    draft = Draft(signed_at=cmc.clock())
    found = said(by_full_cmc(cmc, draft.message(), DEVICE)).certificates
    own = next(one for one in found if spki(one) == spki(draft.key))

    def send(server: ReferenceServer, secret: str, source: str = GUESSER) -> Response:
        wish = revoke_request(own, "unspecified", shared_secret=Secret(secret))
        return by_full_cmc(server, sign_data(pki_data([wish], request_sequence(None)), oids.PKI_DATA, None), source)

    return send


def statuses(guess: Guess, server: ReferenceServer, words: list[str], **how: str) -> list[int]:
    return [guess(server, word, **how).status for word in words]


WRONG = [f"guess {number}" for number in range(FREE)]


@pytest.fixture(params=["proof", "revocation", "basic"])
def attack(request, cmc) -> tuple[Guess, str, int]:
    """A way to guess, the right word, and the status of a wrong one."""
    if request.param == "basic":
        return basic, cmc.password, 401
    return (request.getfixturevalue("revocation") if request.param == "revocation" else proof), SECRET, 403


@pytest.mark.slow
def test_guesses_meet_pauses_that_double(attack, cmc, clock):
    """EST-207, RFC 5272 section 6.2: after twenty wrong ones a right one is not even looked at, or its answer would tell."""
    guess, right, wrong = attack
    assert statuses(guess, cmc, WRONG) == [wrong] * FREE
    assert statuses(guess, cmc, [*WRONG[:3], right]) == [429] * 4
    clock.wait(1.01)
    assert statuses(guess, cmc, ["another", right]) == [wrong, 429]
    clock.wait(1.01)
    answer = guess(cmc, right)
    assert answer.status == 429
    assert answer.header("Retry-After") == "1"
    clock.wait(1)
    assert guess(cmc, right).status == 200
    assert statuses(guess, cmc, WRONG[:3]) == [wrong] * 3, "who is right begins anew"


@pytest.mark.slow
def test_a_guesser_does_not_lock_the_right_device_out(attack, cmc, clock):
    """Whoever knows a name could do that: pauses are for a name from an address, and none is longer than a minute."""
    guess, right, _wrong = attack
    statuses(guess, cmc, WRONG)
    for number in range(12):
        clock.wait(60)
        guess(cmc, f"later guess {number}")
    assert guess(cmc, right).status == 429
    assert guess(cmc, right, source=DEVICE).status == 200
    clock.wait(61)
    assert guess(cmc, right).status == 200


@pytest.mark.slow
def test_names_from_one_address_are_one_guesser_and_unknown_ones_no_exception(cmc, clock):
    """Also by another way: passwords and shared secrets are one count."""
    for number in range(FREE_FROM_ONE_ADDRESS // 2):
        assert proof(cmc, "guess", who=f"dev-{number + 2}").status == 403
        assert basic(cmc, "guess", who=f"user-{number}").status == 401
    assert (proof(cmc, SECRET).status, basic(cmc, cmc.password).status) == (429, 429)
    assert proof(cmc, SECRET, source=DEVICE).status == 200
    clock.wait(1.01)
    assert proof(cmc, SECRET).status == 200


@pytest.mark.slow
def test_pauses_of_names_that_nobody_has(cmc):
    known, unknown = (statuses(proof, cmc, [*WRONG, "guess"], who=who, source=DEVICE) for who in ("dev-1", "nobody"))
    assert known == unknown == [403] * FREE + [429]


def test_the_refusal_says_try_later_and_does_not_tell_what_was_right(cmc):
    """RFC 5272 section 6.1.4: tryLater."""
    statuses(proof, cmc, WRONG)
    right, wrong = proof(cmc, SECRET), proof(cmc, "guess")
    assert refused(right) == refused(wrong) == (429, TRY_LATER)
    assert said(right).text == said(wrong).text
    assert len(cmc.est.register.entries()) == 0


def test_a_password_inside_full_cmc_is_the_same_password(cmc):
    """Guesses come by every door that asks for it."""
    statuses(basic, cmc, WRONG)
    draft = Draft(link=False, proof=False, signed_at=cmc.clock())
    header = "Basic " + base64.b64encode(f"device:{cmc.password}".encode()).decode()
    request = Request(
        "POST",
        f"{EST}fullcmc",
        [MEDIA, ("Authorization", header)],
        base64.b64encode(draft.message()),
        TLS,
        source=GUESSER,
    )
    answer = cmc.handle(request)
    assert refused(answer) == (429, TRY_LATER)
    assert answer.header("Retry-After") == "1"
    assert cmc.handle(replace(request, source=DEVICE)).status == 200


@pytest.mark.slow
def test_many_at_once_are_no_more_guesses(cmc):
    """EST-68's rule for the other secrets: no more wrong ones are judged than one after the other."""
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda word=word: seen.append(basic(cmc, word).status))
        for word in [*WRONG, *(f"more {number}" for number in range(10))]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [401] * FREE + [429] * 10


def test_many_devices_with_one_password_at_once_are_no_guessers(cmc):
    """A password that is right is no failure while it is looked at, either."""
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(basic(cmc, cmc.password).status)) for _ in range(FREE + 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [200] * (FREE + 10)


def test_a_restart_forgives_nothing(cmc, tmp_path):
    statuses(proof, cmc, WRONG)
    cmc.stop()
    with ReferenceServer(tmp_path / "server", policy=cmc.policy) as again:
        again.clock = cmc.clock
        assert proof(again, SECRET).status == 429


def test_the_sdk_waits_as_it_is_told(cmc, clock):
    """The right device comes through at the same address, too, only later; one that may not wait is told to."""
    trust = ServerTrust(explicit=(cmc.hierarchy.root.certificate,))
    statuses(proof, cmc, WRONG, source="127.0.0.1")
    shared = SharedSecret(Secret(SECRET), "dev-1")
    with EstClient(cmc.url, trust) as client, pytest.raises(CmcUnavailableError) as caught:
        client.fullcmc.enroll(new_key(), CsrSpec(name("dev-1")), shared_secret=shared, wait_s=0)
    assert caught.value.retry_after_s == 1
