"""The queue of requests that wait for a person is bounded, and whoever waits stays in it (EST-16, EST-161, EST-163)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from device_sdk_simulators.cli.main import main
from device_sdk_simulators.http.messages import Request, Response
from device_sdk_simulators.server import ReferenceServer

from tests.simulators.server.full_cmc_requests import SECRET, TLS, Draft, refused, said, send
from tests.simulators.server.support import EST, PKCS10, make_csr, name
from tests.simulators.server.test_guessing import Hand

TRY_LATER = 12


@pytest.fixture
def queueing(server):
    server.policy.require_approval, server.policy.retry_after_s = True, 7
    server.policy.max_waiting, server.policy.max_waiting_each = 5, 3
    for user in ("alice", "mallory"):
        server.users.add(user, "password")
    return server


def ask(server: ReferenceServer, user: str, csr: bytes) -> Response:
    value = "Basic " + base64.b64encode(f"{user}:password".encode()).decode()
    return server.handle(Request("POST", f"{EST}simpleenroll", [PKCS10, ("Authorization", value)], csr, TLS))


def csrs(number: int) -> list[bytes]:
    return [make_csr(subject=name(f"dev-{each}")) for each in range(number)]


def statuses(server: ReferenceServer, user: str, requests: list[bytes]) -> list[int]:
    return [ask(server, user, csr).status for csr in requests]


def waiting(server: ReferenceServer) -> list[str]:
    return [str(entry["identity"]) for entry in server.est.queue.entries() if entry["state"] == "waiting"]


def test_est_16_one_client_does_not_fill_the_queue(queueing):
    """429 for the one that has too many; others have their places, and those that wait keep theirs."""
    mine, flood = csrs(2), csrs(10)
    assert statuses(queueing, "alice", mine) == [202, 202]
    assert statuses(queueing, "mallory", flood) == [202] * 3 + [429] * 7
    answer = ask(queueing, "mallory", flood[-1])
    assert (answer.status, answer.header("Retry-After")) == (429, "7")
    assert b"of yours wait" in answer.body
    assert statuses(queueing, "alice", mine) == [202, 202]
    assert statuses(queueing, "mallory", flood[:3]) == [202] * 3
    assert waiting(queueing) == ["user:alice"] * 2 + ["user:mallory"] * 3


def test_est_16_the_queue_is_bounded_in_all(queueing):
    """503 for whoever comes when it is full; a decision makes room."""
    mine = csrs(3)
    assert statuses(queueing, "mallory", csrs(3)) == [202] * 3
    assert statuses(queueing, "alice", mine) == [202, 202, 503]
    answer = ask(queueing, "alice", mine[2])
    assert (answer.status, answer.header("Retry-After")) == (503, "7")
    assert queueing.est.queue.decide(1, approve=False) == 1
    assert statuses(queueing, "alice", mine) == [202] * 3
    assert len(waiting(queueing)) == 5


def test_est_207_full_cmc_says_try_later(queueing):
    """RFC 5272 section 6.1.4."""
    queueing.policy.fullcmc = True
    queueing.est.full_cmc.store.add_secret("dev-1", SECRET.encode())
    drafts = [Draft() for _ in range(4)]
    assert [said(send(queueing, one.message())).status for one in drafts[:3]] == [3] * 3
    answer = send(queueing, drafts[3].message())
    assert refused(answer) == (429, TRY_LATER)
    assert answer.header("Retry-After") == "7"
    assert statuses(queueing, "alice", csrs(3)) == [202, 202, 503]


def test_est_163_who_stopped_asking_ends_and_who_asks_stays(queueing):
    """After `waiting_ends`; a number is never given to another request, or a person would decide on that."""
    now = datetime.now(UTC)
    queueing.clock = lambda: now
    old, kept, denied = csrs(3)
    assert statuses(queueing, "alice", [kept, old, denied]) == [202] * 3
    assert queueing.est.queue.decide(3, approve=False) == 1
    now += queueing.policy.waiting_ends - timedelta(hours=2)
    assert statuses(queueing, "alice", [kept]) == [202]
    now += timedelta(hours=3)
    assert statuses(queueing, "alice", csrs(3)) == [202, 202, 429]
    entries = queueing.est.queue.entries()
    assert [entry["id"] for entry in entries] == [1, 4, 5], "neither the one forgotten nor the one denied"
    assert statuses(queueing, "alice", [kept]) == [202]


def test_what_is_approved_does_not_end(queueing):
    now = datetime.now(UTC)
    queueing.clock = lambda: now
    (mine,) = csrs(1)
    assert statuses(queueing, "alice", [mine]) == [202]
    queueing.est.queue.decide(None, approve=True)
    now += 2 * queueing.policy.waiting_ends
    assert statuses(queueing, "mallory", csrs(3)) == [202] * 3
    assert statuses(queueing, "alice", [mine]) == [200]


def test_a_query_by_full_cmc_is_asking(queueing):
    from device_sdk.wire.cmc import oids
    from device_sdk.wire.cmc.pki_data import octets, pki_data, request_sequence

    now = datetime.now(UTC)
    queueing.clock = lambda: now
    queueing.policy.fullcmc = True
    queueing.est.full_cmc.store.add_secret("dev-1", SECRET.encode())
    draft = Draft()
    token = said(send(queueing, draft.message())).pend_token
    for _ in range(3):
        now += queueing.policy.waiting_ends * 0.6
        ask(queueing, "alice", csrs(1)[0])
        again = Draft(key=draft.key, proof=False, link=False, signed_at=now, more=(octets(oids.QUERY_PENDING, token),))
        empty = request_sequence(None)
        answer = send(queueing, again.wrap(pki_data(again.controls(empty), empty)))
        assert said(answer).status == 3


def test_est_16_transactions_of_full_cmc_end(queueing):
    """With the request that nobody asked about, and some time after the certificate; not while something is to be had."""
    queueing.clock = Hand()
    store = queueing.est.full_cmc.store
    queueing.policy.fullcmc, queueing.policy.max_waiting_each = True, 5
    store.add_secret("dev-1", SECRET.encode())

    def enrol() -> bytes:
        return said(send(queueing, Draft(signed_at=queueing.clock()).message())).pend_token

    def known() -> list[bool]:
        return [store.waiting(token) is not None for token in tokens]

    tokens = [enrol() for _ in range(4)]
    denied, _abandoned, approved, late = (store.waiting(token).request for token in tokens)
    assert queueing.est.queue.decide(denied, approve=False) == 1
    assert queueing.est.queue.decide(approved, approve=True) == 1
    assert queueing.est.queue.decide(late, approve=True) == 1
    queueing.clock.wait(queueing.policy.waiting_ends.total_seconds() + 7200)
    # as if it had just been collected
    serial = _issued_now(queueing)
    queueing._database.execute("UPDATE requests SET state = 'issued', serial = ? WHERE id = ?", serial, late)
    enrol()
    enrol()
    assert known() == [False, False, True, True]
    queueing.clock.wait(queueing.policy.waiting_ends.total_seconds() + 7200)
    enrol()
    assert known() == [False, False, True, False]


def _issued_now(server: ReferenceServer) -> str:
    server.policy.require_approval = False
    assert statuses(server, "alice", csrs(1)) == [200]
    server.policy.require_approval = True
    return str(server._database.rows("SELECT serial FROM certificates ORDER BY rowid DESC")[0]["serial"])


def test_the_list_says_that_somebody_was_turned_away(queueing, capsys):
    def listed(*more: str) -> str:
        assert main(["list", "--state", str(queueing.state), *more]) == 0
        return capsys.readouterr().out

    assert listed().splitlines()[0] == "requests: 0"
    assert json.loads(listed("--json"))["turned_away"] is None
    statuses(queueing, "mallory", csrs(6))
    head = listed().splitlines()[0]
    assert head.startswith("requests: 3 (3 turned away, the last at 20")
    assert head.endswith(": 3 requests of yours wait for approval)")
    found = json.loads(listed("--json"))["turned_away"]
    assert (found["count"], found["identity"]) == (3, "user:mallory")
