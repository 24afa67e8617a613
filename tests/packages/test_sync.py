"""Doing what a package list asks for: anchors, lists and peers are fetched, checked and kept (RFC 8295 sections 2 to 4)."""

from __future__ import annotations

import pytest

from device_sdk.client.device.sync import StepState, peers
from device_sdk.errors import (
    HttpStatusError,
    StateError,
    TransportError,
    TransportTimeoutError,
    VerificationError,
)
from device_sdk.protocols.eecerts import check_peers
from tests.est.pki import DAY, Ca, certs_only, new_key, one_line
from tests.est.scripted_server import http, pkcs7
from tests.packages.test_crls import crl

DONE, FAILED, SKIPPED = StepState.DONE, StepState.FAILED, StepState.SKIPPED
FETCHES = [("0003", "eecerts/p1"), ("0002", "cacerts"), ("0005", "crls")]


def test_p_14_p_18_anchors_lists_and_peers_are_kept_in_the_order_of_their_tiers(synced):
    peer = synced.peer()
    synced.publish("p1", peer)
    synced.lists = [crl(synced.ca)]
    synced.entries = FETCHES
    told = []
    report = synced.device.sync(told=lambda one: told.append((one.number, one.total, one.state)))
    assert synced.outcomes(report) == [("0002", DONE), ("0005", DONE), ("0003", DONE)]
    assert told == [(n, 3, state) for n in (1, 2, 3) for state in (StepState.BEGUN, DONE)]
    assert synced.asked() == ["GET pal", "GET cacerts", "GET crls", "GET eecerts/p1"]
    assert synced.server.connections == 1
    assert synced.device.peers == (peer,)
    assert synced.device.revocation_lists == tuple(synced.lists)
    assert synced.device.state.check() == ()
    assert (report.failed, report.pending, report.resumed) == (False, False, False)


def test_only_the_list_is_fetched_for_a_plan(synced):
    synced.entries = [*FETCHES, ("0026", "firmware/1"), ("0000", "x")]
    before = sorted(path.name for path in synced.device.state.path.iterdir())
    report = synced.device.sync_plan()
    planned = StepState.PLANNED
    assert synced.outcomes(report) == [
        ("0002", planned),
        ("0005", planned),
        ("0003", planned),
        ("0026", StepState.UNCONFIGURED),
        ("0000", SKIPPED),
    ]
    assert synced.asked() == ["GET pal"]
    assert sorted(path.name for path in synced.device.state.path.iterdir()) == before


def test_nothing_on_the_list(synced):
    assert synced.outcomes() == []
    synced.server.handlers["pal"] = lambda _: http(404)
    assert synced.outcomes() == []


def test_p_20_what_this_version_has_nothing_for_is_told_and_stops_nothing(synced):
    synced.publish("p1", synced.peer())
    synced.entries = [("0008", "simpleenroll"), ("0038", "x"), ("0003", "eecerts/p1")]
    report = synced.device.sync()
    assert synced.outcomes(report) == [
        ("0008", SKIPPED), ("0003", DONE), ("0038", SKIPPED),
    ]  # fmt: skip
    assert not report.failed


@pytest.mark.parametrize("kind", ["cacerts", "crls"])
def test_a_failure_in_the_first_tier_stops_what_relies_on_it(synced, kind):
    synced.publish("p1", synced.peer())
    synced.lists = [crl(synced.ca)]
    synced.entries = FETCHES
    synced.server.handlers[kind] = lambda _: http(500)
    report = synced.device.sync()
    states = dict(synced.outcomes(report))
    assert states["0003"] is StepState.BLOCKED
    assert states["0005"] is FAILED
    assert (states["0002"] is FAILED) is (kind == "cacerts")
    assert report.failed
    assert isinstance(synced.result(report, "0005").error, HttpStatusError)
    assert synced.device.peers == ()
    assert "GET eecerts/p1" not in synced.asked()


def test_any_other_failure_stops_nothing_else(synced):
    good = synced.peer()
    synced.publish("p2", good)
    synced.entries = [("0003", "eecerts/p1"), ("0003", "eecerts/p2")]
    synced.server.handlers["p1"] = lambda _: http(500)
    report = synced.device.sync()
    assert synced.outcomes(report) == [("0003", FAILED), ("0003", DONE)]
    assert report.failed
    assert synced.device.peers == (good,)


def test_without_a_list_nothing_is_done(synced):
    synced.server.handlers["pal"] = lambda _: http(500)
    with pytest.raises(HttpStatusError):
        synced.device.sync()
    assert not (synced.device.state.path / "sync.json").exists()


def test_a_package_replaces_what_the_same_place_gave_before(synced):
    one, other, third = (synced.peer(f"peer {n}") for n in range(3))
    synced.publish("p1", one, other)
    synced.publish("p2", third)
    synced.entries = [("0003", "eecerts/p1"), ("0003", "eecerts/p2")]
    synced.outcomes()
    assert set(synced.device.peers) == {one, other, third}
    synced.publish("p1", other)
    synced.entries = [("0003", "eecerts/p1")]
    synced.outcomes()
    assert set(synced.device.peers) == {other, third}, "a place that is not on the list keeps what it gave (P-17)"
    synced.server.handlers["p1"] = lambda _: http(404)
    synced.outcomes()
    assert synced.device.peers == (third,)


def test_a_peer_that_ended_is_no_peer(synced):
    synced.publish("p1", synced.peer())
    synced.entries = [("0003", "eecerts/p1")]
    synced.outcomes()
    synced.clock.shift = 400 * DAY
    assert synced.device.peers == ()


def test_an_answer_of_which_nothing_can_be_used_is_a_failure(synced):
    synced.publish("p1", synced.peer(issuer=Ca.root("Stranger")))
    synced.lists = [crl(Ca.root("Stranger"))]
    synced.entries = [("0003", "eecerts/p1")]
    assert isinstance(synced.device.sync().steps[0].error, VerificationError)
    synced.entries = [("0005", "crls")]
    assert isinstance(synced.device.sync().steps[0].error, VerificationError)
    assert synced.device.state.packages.lists() == ()


def test_a_device_that_is_not_enrolled(synced, tmp_path):
    from device_sdk.client.device import Device

    with pytest.raises(StateError, match="not enrolled"):
        Device(tmp_path / "other").sync()


def test_a_server_that_is_away(synced):
    synced.server.close()
    with pytest.raises(TransportError):
        synced.device.sync()


def test_amb_22_an_answer_of_which_nothing_can_be_used_failed_and_names_its_url(synced):
    synced.lists = [crl(synced.ca, synced.peer(), number=9, key=new_key())]
    synced.entries = [("0005", "crls")]
    error = synced.device.sync().steps[0].error
    assert isinstance(error, VerificationError)
    assert error.message.startswith(f"{error.url}: no revocation list of the answer can be used: the signature")
    assert error.url.endswith("/.well-known/est/crls")


def test_kept_peers_are_judged_once_in_a_run(synced, monkeypatch):
    """A list may have a thousand entries of peers, and each is kept beside all others."""
    judged = []

    def counted(found, **options):
        judged.append(len(found))
        return check_peers(found, **options)

    monkeypatch.setattr(peers, "check_peers", counted)
    every = {f"p{number}": synced.peer(f"peer {number}") for number in range(8)}
    for place, one in every.items():
        synced.publish(place, one)
    synced.entries = [("0003", f"eecerts/{place}") for place in every]
    assert {state for _, state in synced.outcomes()} == {DONE}
    assert sum(judged) <= len(every)
    judged.clear()
    kept = synced.device.state.packages.peers_file
    before = kept.stat().st_ino
    assert {state for _, state in synced.outcomes()} == {DONE}
    assert sum(judged) <= len(every)
    assert (kept.stat().st_ino, set(synced.device.peers)) == (before, set(every.values()))
    synced.lists = [crl(synced.ca, every["p1"])]
    synced.entries = [("0005", "crls"), *(one for one in synced.entries if one[1] != "eecerts/p1")]
    assert not synced.device.sync().failed
    assert set(synced.device.peers) == set(every.values()) - {every["p1"]}


def test_a_run_that_takes_too_long_begins_nothing_more_and_the_next_one_goes_on(synced):
    """However many entries a list has and however slowly each is answered: the state's lock is let go at some time."""

    def slow(_):
        synced.clock.slept.append(40.0)
        return pkcs7(one_line(certs_only(synced.peer())))

    for number in range(4):
        synced.server.handlers[f"p{number}"] = slow
    synced.entries = [("0003", f"eecerts/p{number}") for number in range(4)]
    report = synced.device.sync(limit_s=60.0)
    assert synced.outcomes(report) == [("0003", DONE)] * 2 + [("0003", FAILED)] * 2
    error = report.steps[3].error
    assert isinstance(error, TransportTimeoutError)
    assert (error.timeout_s, error.request_sent) == (60.0, False)
    synced.asked()
    report = synced.device.sync(limit_s=60.0)
    assert report.resumed
    assert synced.outcomes(report) == [("0003", StepState.EARLIER)] * 2 + [("0003", DONE)] * 2
    assert [line for line in synced.asked() if "eecerts" in line] == ["GET eecerts/p2", "GET eecerts/p3"]
    assert not synced.device.sync(limit_s=600.0).resumed


def test_e_06_a_place_with_nothing_but_the_own_certificate_is_no_failure(synced):
    """Operators publish one file of peers to everybody; nothing is wrong with it."""
    synced.publish("all", synced.certificate)
    synced.entries = [("0003", "eecerts/all")]
    report = synced.device.sync()
    assert synced.outcomes(report) == [("0003", DONE)]
    assert (report.steps[0].detail, synced.device.peers) == ("certificates of peers from there: 0", ())
