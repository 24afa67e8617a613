"""Servers that are overloaded, away, moved or ahead of this machine's clock, met by a whole enrolment or renewal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from device_sdk_simulators.server import ReferenceServer

from device_sdk.client.device import RenewalPlan
from device_sdk.client.est import Pending, RetryPolicy
from device_sdk.errors import (
    ClockError,
    ConfigurationError,
    EnrolmentPendingError,
    FingerprintMismatchError,
    HttpStatusError,
    RedirectRefusedError,
    TransportError,
)
from device_sdk.model.credentials import Credentials
from device_sdk.model.secret import Secret
from device_sdk.model.trust import Pin
from device_sdk.state import Phase


def pinned(bench, **changes: object):
    pin = Pin("sha256", bench.plan.anchors[0].fingerprint(hashes.SHA256()))
    return bench.planned(anchors=(), pins=(pin,), **changes)


def confirming(bench, **changes: object):
    return bench.planned(anchors=(), confirm=lambda root: root in bench.plan.anchors, **changes)


TRUST = pytest.mark.parametrize("way", [lambda bench, **more: bench.planned(**more), pinned, confirming])


@TRUST
@pytest.mark.parametrize("operation", ["cacerts", "csrattrs", "simpleenroll"])
def test_every_step_of_an_enrolment_waits(bench, clock, way, operation: str) -> None:
    """EST-160: 429 and 503 with a Retry-After, on the unauthenticated connection of bootstrap, too."""
    bench.server.faults.set("overload", "429 5", operation=operation, times=2)
    told: list[Pending] = []
    bench.device.enroll(way(bench, wait_s=60.0, progress=told.append))
    assert len(clock.slept) == 2
    assert all(5 <= slept <= 6 for slept in clock.slept)
    assert [pending.status_code for pending in told] == [429, 429]
    bench.require_sound()


@pytest.mark.parametrize("operation", ["cacerts", "csrattrs", "simplereenroll"])
def test_every_step_of_a_renewal_waits(bench, clock, operation: str) -> None:
    bench.device.enroll(bench.plan)
    bench.server.faults.set("overload", "503 5", operation=operation, times=2)
    told: list[Pending] = []
    bench.device.renew(RenewalPlan(wait_s=60.0, progress=told.append))
    assert [pending.status_code for pending in told] == [503, 503]
    assert len(bench.logged("simplereenroll")) == (3 if operation == "simplereenroll" else 1)
    bench.require_sound()


def test_the_proof_of_the_new_pair_waits_too(bench, clock) -> None:
    """The server is overloaded once the certificate is issued."""
    bench.device.enroll(bench.plan)
    bench.server.policy.require_approval = True
    bench.server.policy.retry_after_s = 2
    told: list[Pending] = []

    def approve() -> None:
        if bench.server.policy.require_approval:
            bench.server.policy.require_approval = False
            bench.server.est.queue.decide(None, approve=True)
            bench.server.faults.set("overload", "503 3", operation="cacerts", times=1)

    clock.on_sleep = approve
    bench.device.renew(RenewalPlan(wait_s=60.0, progress=told.append))
    assert [pending.status_code for pending in told] == [202, 503]
    bench.require_sound()


def test_refreshing_anchors_waits(bench, clock) -> None:
    bench.device.enroll(bench.plan)
    bench.server.faults.set("overload", "503 5", operation="cacerts", times=1)
    bench.device.refresh_anchors(RenewalPlan(wait_s=10.0))
    assert len(clock.slept) == 1


@TRUST
def test_without_wait_it_is_an_error_at_once(bench, clock, way) -> None:
    bench.server.faults.set("overload", "503 5")
    with pytest.raises(HttpStatusError) as caught:
        bench.device.enroll(way(bench))
    assert caught.value.retry_after_s == 5
    assert clock.slept == []
    assert bench.key_files() == []


def test_one_deadline_for_bootstrap_and_all_that_follows(bench, clock) -> None:
    """Bootstrap takes 60 of 100 seconds; the rest is not enough for another 60."""
    bench.server.faults.set("overload", "503 60", operation="cacerts", times=1)
    clock.on_sleep = lambda: bench.server.faults.set("overload", "503 60", operation="csrattrs")
    with pytest.raises(HttpStatusError):
        bench.device.enroll(pinned(bench, wait_s=100.0))
    assert len(clock.slept) == 1
    assert sum(clock.slept) <= 100


def test_bootstrap_stops_at_the_deadline_and_shows_nothing(bench, clock) -> None:
    """EST-72, EST-74: however often it asks, the unauthenticated connection carries GET /cacerts only."""
    bench.server.faults.set("overload", "503 30", operation="cacerts")
    with pytest.raises(HttpStatusError):
        bench.device.enroll(pinned(bench, wait_s=100.0))
    assert sum(clock.slept) <= 100
    assert len(clock.slept) >= 2
    shown = {(entry["method"], entry["operation"], entry["authentication"]) for entry in bench.server.log()}
    assert shown == {("GET", "cacerts", "none")}
    assert bench.key_files() == []


def test_a_wrong_fingerprint_is_not_waited_for(bench, clock) -> None:
    with pytest.raises(FingerprintMismatchError):
        bench.device.enroll(bench.planned(anchors=(), pins=(Pin("sha256", bytes(32)),), wait_s=100.0))
    assert clock.slept == []


def test_bootstrap_follows_no_redirect_while_it_waits(bench, clock) -> None:
    """EST-73."""
    bench.server.faults.set("redirect", f"{bench.server.url}/.well-known/est/elsewhere/cacerts", operation="cacerts")
    with pytest.raises(RedirectRefusedError):
        bench.device.enroll(pinned(bench, wait_s=100.0))
    assert clock.slept == []


def test_a_later_run_tells_that_it_keeps_to_the_servers_word(bench, clock) -> None:
    """EST-162: what is left of a Retry-After of an earlier run is waited for first, and shown."""
    bench.server.policy.require_approval = True
    bench.server.policy.retry_after_s = 60
    with pytest.raises(EnrolmentPendingError):
        bench.device.enroll(bench.plan)
    bench.server.est.queue.decide(None, approve=True)
    asked = len(bench.server.log())
    told: list[Pending] = []
    clock.on_sleep = lambda: told.append(asked == len(bench.server.log()))  # type: ignore[arg-type]
    bench.device.enroll(bench.planned(wait_s=90.0, progress=told.append))
    assert told[0].status_code == 202
    assert 58 <= told[0].retry_after_s <= 60
    assert told[1:] == [True]
    bench.require_sound()


@pytest.fixture
def comes_up(bench, clock, tmp_path: Path) -> Iterator[list[ReferenceServer]]:
    """The bench's server is one that is not running, and starts when somebody waits for it."""
    with ReferenceServer(tmp_path / "absent") as server:
        port, bench.server = server.port, server
        login = Credentials(server.user or "", Secret(server.password))
        anchors = tuple(x509.load_pem_x509_certificates(server.ca_file.read_bytes()))
        bench.plan = bench.planned(url=server.url, anchors=anchors, credentials=login)
    started: list[ReferenceServer] = []
    with ExitStack() as stack:
        clock.on_sleep = lambda: (
            started or started.append(stack.enter_context(ReferenceServer(tmp_path / "absent", port=port)))
        )
        yield started


@TRUST
def test_retry_waits_for_a_server_that_comes_up(bench, clock, way, comes_up) -> None:
    with pytest.raises(TransportError):
        bench.device.enroll(way(bench, wait_s=60.0))
    assert clock.slept == []
    told: list[Pending] = []
    again = RetryPolicy(connections=True)
    bench.device.enroll(way(bench, wait_s=60.0, retry=again, progress=told.append))
    assert told[0].status_code == 0
    assert len(comes_up) == 1
    bench.require_sound()


def test_a_renewal_tries_again_and_gives_up_in_time(bench, clock) -> None:
    bench.device.enroll(bench.plan)
    before = bench.device.state.load()
    bench.server.stop()
    with pytest.raises(TransportError):
        bench.device.renew(RenewalPlan(wait_s=60.0, retry=RetryPolicy(connections=True)))
    assert len(clock.slept) >= 3
    assert sum(clock.slept) <= 60
    assert bench.device.state.load() == before


def elsewhere(bench) -> str:
    return str(bench.server.url.replace("localhost", "127.0.0.1"))


def test_est_29_a_renewal_goes_elsewhere_only_if_somebody_says_so(bench) -> None:
    bench.device.enroll(bench.plan)
    before = bench.device.state.load()
    target = f"{elsewhere(bench)}/.well-known/est/simplereenroll"
    bench.server.faults.set("redirect", target, operation="simplereenroll", times=1)
    with pytest.raises(RedirectRefusedError):
        bench.device.renew()
    assert bench.device.state.load() == before
    bench.server.faults.set("redirect", target, operation="simplereenroll", times=1)
    asked: list[tuple[str, str, str]] = []

    def yes(old_url: str, new_url: str, method: str) -> bool:
        asked.append((old_url, new_url, method))
        return True

    bench.device.renew(RenewalPlan(redirects=yes))
    assert [(new, method) for _, new, method in asked] == [(target, "POST")]
    assert bench.device.state.load().endpoint.url == bench.server.url, "at home where it was"
    bench.require_sound()


def test_est_29_an_enrolment_asks_and_takes_no_password_along(bench) -> None:
    target = f"{elsewhere(bench)}/.well-known/est/simpleenroll"
    bench.server.faults.set("redirect", target, operation="simpleenroll", times=1)
    with pytest.raises(HttpStatusError):
        bench.device.enroll(bench.planned(redirects=lambda *_: True))
    assert bench.logged("simpleenroll")[-1]["authentication"] == "none"
    bench.device.enroll(bench.plan)
    bench.require_sound()


def test_the_certificate_of_an_enrolment_is_kept(bench, clock) -> None:
    """EST-139: the next run finishes with it and asks nobody."""
    bench.server.clock = lambda: clock.now() + timedelta(hours=3)
    with pytest.raises(ClockError, match="the certificate is kept"):
        bench.device.enroll(bench.plan)
    journal = bench.device.state.journal()
    assert journal.phase is Phase.ISSUED
    asked = len(bench.server.log())
    with pytest.raises(ClockError, match="nothing was lost"):
        bench.device.enroll(bench.plan)
    clock.offset_s += timedelta(hours=3).total_seconds()
    outcome = bench.device.enroll(bench.plan)
    assert x509.load_pem_x509_certificate(journal.chain.encode()) == outcome.certificate
    assert len(bench.server.log()) == asked, "nobody was asked again"
    assert bench.device.anchors == bench.plan.anchors
    bench.require_sound()


@pytest.mark.parametrize("rekey", [True, False])
def test_the_certificate_of_a_renewal_is_kept_and_proved_later(bench, clock, rekey: bool) -> None:
    bench.device.enroll(bench.plan)
    before = bench.device.state.load()
    bench.server.clock = lambda: clock.now() + timedelta(hours=3)
    plan = RenewalPlan(rekey=rekey)
    for _ in range(2):
        with pytest.raises(ClockError):
            bench.device.renew(plan)
        assert bench.device.state.load() == before
    assert bench.device.state.journal().phase is Phase.ISSUED
    assert bench.device.needs_renewal().needed
    clock.offset_s += timedelta(hours=3).total_seconds()
    bench.server.clock = clock.now
    bench.device.renew(plan)
    assert len(bench.logged("simplereenroll")) == 1
    bench.require_sound()


def test_its_owner_may_give_it_up(bench, clock) -> None:
    """A CA that issues certificates for next year would block the device otherwise."""
    bench.device.enroll(bench.plan)
    bench.server.faults.parse("future@simplereenroll")
    with pytest.raises(ClockError, match="abandon"):
        bench.device.renew()
    assert bench.device.abandon()
    assert bench.key_files() == ["device.pem"]
    bench.server.faults.clear()
    bench.device.renew()
    bench.require_sound()


def test_trust_is_said_one_way(bench) -> None:
    pin = (Pin("sha256", bytes(32)),)
    for mixed in (
        {"pins": pin},
        {"confirm": lambda _: True},
        {"anchors": (), "pins": pin, "confirm": lambda _: True},
        {"anchors": ()},
    ):
        with pytest.raises(ConfigurationError, match="say whom to trust"):
            bench.planned(**mixed)
