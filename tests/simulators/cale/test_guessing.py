"""Wrong proofs of identity cost pauses, also where no rate is set (CALE-02, RFC 7030 section 6)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from device_sdk_simulators.cale.roles import EdgeSettings, RolePlace, edge_role
from device_sdk_simulators.guessing import PATIENCE
from device_sdk_simulators.policy import Policy

from tests.simulators.cale.support import KEYS, basic


def wrong(scheme: str, number: int = 0) -> dict[str, str]:
    """A guess, each number another one."""
    return basic("ann", f"wrong-{number}") if scheme == "basic" else {"Authorization": f"Bearer wrong-{number}"}


RIGHT = {"basic": basic("ann", "right"), "bearer": {"Authorization": "Bearer sesame"}}


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def edge(tmp_path, clock):
    """Users and tokens, and no rate."""
    settings = EdgeSettings(upstream="http://127.0.0.1:1", user="ann", password="right", tokens={"sesame": "bob"})
    with edge_role(RolePlace(tmp_path / "edge", clock=clock), Policy(), settings) as server:
        yield server


@pytest.fixture
def client(edge, make_client):
    return make_client(url=edge.url, ca_file=edge.facts["ca_file"], key=KEYS["p256"])


@pytest.mark.slow
@pytest.mark.parametrize("scheme", RIGHT)
def test_guesses_meet_pauses_that_double_cale_02(edge, client, clock, scheme):
    guesses = [client.register(wrong(scheme, number)) for number in range(PATIENCE.user_tries)]
    assert guesses == [401] * PATIENCE.user_tries
    # whoever is right is refused as well, or the answer would say that it was
    assert [client.register(proof) for proof in (wrong(scheme, 30), RIGHT[scheme])] == [429, 429]
    other = "bearer" if scheme == "basic" else "basic"
    assert client.register(RIGHT[other]) == 200, "others are not concerned"
    clock.wait(1.01)
    assert [client.register(wrong(scheme, number)) for number in (31, 32)] == [401, 429]
    clock.wait(1.01)
    assert client.register(RIGHT[scheme]) == 429
    clock.wait(1)
    assert client.register(RIGHT[scheme]) == 200
    assert [client.register(wrong(scheme, number)) for number in range(3)] == [401] * 3, "who is right begins anew"
    assert edge.log()[-1]["status"] == 401


@pytest.mark.slow
def test_the_longest_pause_is_a_minute_and_nobody_is_locked(client, clock):
    for number in range(PATIENCE.user_tries):
        client.register(wrong("basic", number))
    for number in range(12):
        clock.wait(60)
        assert client.register(wrong("basic", 100 + number)) == 401
    assert client.register(RIGHT["basic"]) == 429
    clock.wait(60)
    assert client.register(RIGHT["basic"]) == 200


@pytest.mark.slow
def test_many_names_from_one_address_are_one_guesser(client, clock):
    statuses = [client.register(basic(f"user-{number}", "x")) for number in range(PATIENCE.address_tries + 3)]
    assert statuses == [401] * PATIENCE.address_tries + [429] * 3
    clock.wait(61)
    assert client.register(RIGHT["basic"]) == 200


def test_a_restart_forgives_nothing_and_names_may_be_of_any_length(tmp_path, edge, client, make_client, clock):
    name = "n" * 3000
    assert [client.register(basic(name, f"x{number}")) for number in range(PATIENCE.user_tries + 1)][-2:] == [401, 429]
    edge.stop()
    settings = EdgeSettings(upstream="http://127.0.0.1:1", user="ann")
    with edge_role(RolePlace(tmp_path / "edge", clock=clock), Policy(), settings) as again:
        later = make_client(url=again.url, ca_file=again.facts["ca_file"], key=KEYS["p256"])
        assert later.register(basic(name, "x")) == 429
        assert later.register(RIGHT["basic"]) == 200
        assert later.register({}) == 401


def test_guesses_by_the_second_proof_count_too_cale_06(tmp_path, make_client, clock):
    policy = Policy()
    policy.cale.methods = ("POST",)
    settings = EdgeSettings(upstream="http://127.0.0.1:1", user="ann")
    with edge_role(RolePlace(tmp_path / "other", clock=clock), policy, settings) as edge:
        client = make_client(url=edge.url, ca_file=edge.facts["ca_file"])
        guid = ("CALE-GUID", "00000000-1111-4222-8333-444444444444")
        proofs = [wrong("basic", number) for number in range(PATIENCE.user_tries + 1)]
        statuses = [client.send("POST", "/a", [guid, *proof.items()], b"x")[0] for proof in proofs]
        assert statuses == [401] * PATIENCE.user_tries + [429]
