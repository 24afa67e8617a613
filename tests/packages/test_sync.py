"""Doing what a package list asks for: anchors, lists and peers are fetched, checked and kept (RFC 8295 sections 2 to 4)."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest
from cryptography import x509

from device_sdk.client.device import RenewalPlan
from device_sdk.client.device.sync import StepState, peers
from device_sdk.errors import (
    CertificateMismatchError,
    HttpStatusError,
    ServerNotTrustedError,
    StateCorruptError,
    StateError,
    TransportError,
    TransportTimeoutError,
    VerificationError,
)
from device_sdk.protocols.eecerts import check_peers
from tests.est.pki import DAY, NOW, Ca, certs_only, new_key, one_line
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


def test_e_06_a_peer_that_is_revoked_by_a_newer_list_is_dropped(synced):
    good, bad = synced.peer("good"), synced.peer("bad")
    synced.publish("p1", good, bad)
    synced.lists = [crl(synced.ca, number=1)]
    synced.entries = FETCHES
    synced.outcomes()
    synced.lists = [crl(synced.ca, bad, number=2)]
    synced.entries = [("0005", "crls")]
    report = synced.device.sync()
    assert synced.device.peers == (good,)
    assert any(note.startswith("dropped the peer CN=bad: revoked on ") for note in report.steps[0].notes)
    assert b"bad" not in (synced.device.state.packages.peers_file).read_bytes()
    assert len(synced.device.state.packages.peers()) == 1
    synced.entries = FETCHES
    report = synced.device.sync()
    assert any(note.startswith("rejected CN=bad: revoked on ") for note in synced.result(report, "0003").notes)


def test_a_peer_that_ended_is_no_peer(synced):
    synced.publish("p1", synced.peer())
    synced.entries = [("0003", "eecerts/p1")]
    synced.outcomes()
    synced.clock.shift = 400 * DAY
    assert synced.device.peers == ()


def test_c_06_never_an_older_list_over_a_newer_one(synced):
    bad = synced.peer()
    newer, older = crl(synced.ca, bad, number=2), crl(synced.ca, number=1)
    synced.entries = [("0004", "crls"), ("0005", "crls")]
    synced.lists = [newer]
    assert synced.outcomes() == [("0004", DONE), ("0005", DONE)]
    assert synced.asked().count("GET crls") == 1, "both lead to one place"
    synced.lists = [older]
    report = synced.device.sync()
    assert synced.device.revocation_lists == (newer,)
    assert "is older than the one that is kept" in report.steps[0].notes[0]
    synced.lists = []
    assert synced.outcomes()[0] == ("0004", DONE), "a server without lists takes none away"
    assert synced.device.revocation_lists == (newer,)


def test_lists_of_both_keys_of_an_authority_are_kept(synced):
    issuing = synced.ca.issue_ca("Issuing")
    synced.below = [issuing]
    synced.lists = [crl(synced.ca), crl(issuing)]
    synced.entries = [("0005", "crls")]
    synced.outcomes()
    synced.lists = [crl(issuing, number=2)]
    synced.outcomes()
    assert [one.issuer.rfc4514_string() for one in synced.device.revocation_lists] == ["CN=EST root", "CN=Issuing"]
    assert [one.issuer.rfc4514_string() for one in synced.device.revocation_lists] == ["CN=EST root", "CN=Issuing"]


def test_c_06_a_ca_that_one_answer_of_cacerts_leaves_out_keeps_its_list(synced):
    """Nobody signs those answers: whoever writes one would have an older list taken by the next run."""
    issuing = synced.ca.issue_ca("Issuing")
    bad, good = synced.peer("bad", issuer=issuing), synced.peer("good", issuer=issuing)
    synced.below = [issuing]
    synced.publish("p1", good, bad)
    older, newer = crl(issuing, number=1), crl(issuing, bad, number=2)
    synced.entries, synced.lists = FETCHES, [crl(synced.ca), newer]
    synced.outcomes()
    assert synced.device.peers == (good,)
    synced.below = []
    synced.lists = [crl(synced.ca)]
    assert synced.outcomes() == [("0002", DONE), ("0005", DONE), ("0003", DONE)]
    assert newer in synced.device.revocation_lists
    assert synced.device.peers == (good,), "nor does it take its peers away"
    synced.below = [issuing]
    synced.lists = [crl(synced.ca), older]
    assert synced.outcomes() == [("0002", DONE), ("0005", DONE), ("0003", DONE)]
    assert newer in synced.device.revocation_lists
    assert older not in synced.device.revocation_lists
    assert synced.device.peers == (good,)
    assert synced.device.state.check() == ()


def test_c_06_a_ca_that_ended_keeps_its_list(synced):
    """It has another certificate for the same key, which the server shows when it likes, with an older list."""
    days = 10
    issuing = synced.ca.issue_ca("Issuing", not_after=NOW + days * DAY)
    renewed = synced.ca.issue_ca("Issuing", key=issuing.key)
    bad, good = synced.peer("bad", issuer=issuing), synced.peer("good", issuer=issuing)
    older, newer = crl(issuing, number=1), crl(issuing, bad, number=2)
    synced.below, synced.entries, synced.lists = [issuing], FETCHES, [crl(synced.ca), newer]
    synced.publish("p1", bad, good)
    synced.outcomes()
    synced.clock.shift = (days + 1) * DAY
    synced.below, synced.lists = [], [crl(synced.ca)]
    synced.publish("p1", synced.peer("another"))
    report = synced.device.sync()
    assert [one for one in synced.result(report, "0005").notes if "CN=Issuing" in one] == [], "no successor is due"
    assert [one["stale"] for one in synced.device.status().to_json()["revocation_lists"]] == [True, False]
    assert synced.outcomes(report) == [("0002", DONE), ("0005", DONE), ("0003", DONE)]
    assert newer in synced.device.revocation_lists
    synced.publish("p1", bad, good)
    synced.below, synced.lists = [renewed], [crl(synced.ca), older]
    assert synced.outcomes() == [("0002", DONE), ("0005", DONE), ("0003", DONE)]
    assert newer in synced.device.revocation_lists
    assert older not in synced.device.revocation_lists
    assert synced.device.peers == (good,)
    assert synced.device.state.packages.issuers() == (renewed.certificate,), "the one that did not end is kept now"
    assert synced.device.state.check() == ()


def test_c_06_a_certificate_of_the_ca_that_was_replaced_and_revoked_takes_no_list_away(synced):
    issuing = synced.ca.issue_ca("Issuing")
    renewed = synced.ca.issue_ca("Issuing", key=issuing.key)
    synced.entries, synced.below, synced.lists = [("0005", "crls")], [issuing], [crl(synced.ca), crl(issuing)]
    synced.outcomes()
    synced.below, synced.lists = [issuing, renewed], [crl(synced.ca, issuing.certificate, number=2)]
    synced.outcomes()
    assert [one.issuer.rfc4514_string() for one in synced.device.revocation_lists] == ["CN=EST root", "CN=Issuing"]
    synced.below = []
    for _ in range(2):
        synced.outcomes()
        synced.device.sync()
    assert [one.issuer.rfc4514_string() for one in synced.device.revocation_lists] == ["CN=EST root", "CN=Issuing"]
    assert synced.device.state.packages.issuers() == (renewed.certificate, issuing.certificate)


def test_c_06_a_list_that_the_root_says_is_of_a_revoked_ca_goes(synced):
    issuing = synced.ca.issue_ca("Issuing")
    synced.below = [issuing]
    synced.entries, synced.lists = [("0005", "crls")], [crl(synced.ca), crl(issuing)]
    synced.outcomes()
    synced.below, synced.lists = [], [crl(synced.ca, issuing.certificate, number=2)]
    synced.outcomes()
    synced.device.sync()
    assert [one.issuer.rfc4514_string() for one in synced.device.revocation_lists] == ["CN=EST root"]
    assert synced.device.state.packages.issuers() == ()


def test_c_06_a_ca_that_comes_back_brings_no_older_list(synced):
    """Its list went when all its certificates were revoked; which one that was is remembered, whatever certifies the key next."""
    issuing = synced.ca.issue_ca("Issuing")
    bad = synced.peer("bad", issuer=issuing)
    older, newest, next_one = crl(issuing, number=3), crl(issuing, bad, number=7), crl(issuing, bad, number=8)
    synced.entries, synced.below = [("0005", "crls")], [issuing]
    synced.lists = [crl(synced.ca), newest]
    synced.outcomes()
    revoking = crl(synced.ca, issuing.certificate, number=2)
    synced.below, synced.lists = [], [revoking]
    synced.outcomes()
    synced.outcomes()
    assert newest not in synced.device.revocation_lists
    synced.below, synced.lists = [synced.ca.issue_ca("Issuing", key=issuing.key)], [revoking, older]
    notes = synced.result(synced.device.sync(), "0005").notes
    assert "the server's revocation list of CN=Issuing is older than one that was kept" in notes
    assert older not in synced.device.revocation_lists
    for one in (newest, next_one):
        synced.lists = [revoking, one]
        synced.outcomes()
        assert one in synced.device.revocation_lists
    assert synced.device.state.check() == ()
    file = synced.device.state.path / "crl-editions.json"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"{")
    report = synced.device.sync()
    assert any("crl-editions.json" in note for note in report.notes)
    assert not report.failed
    assert synced.device.state.check() == (), "what is held is remembered again"


def test_c_05_a_stale_list_is_kept_and_told(synced):
    synced.lists = [crl(synced.ca)]
    synced.entries = [("0005", "crls")]
    synced.clock.shift = timedelta(days=8)
    report = synced.device.sync()
    assert synced.outcomes(report) == [("0005", DONE)]
    assert report.steps[0].notes == ("the revocation list of CN=EST root is stale: its successor is overdue",)
    assert len(synced.device.revocation_lists) == 1


def test_an_answer_of_which_nothing_can_be_used_is_a_failure(synced):
    synced.publish("p1", synced.peer(issuer=Ca.root("Stranger")))
    synced.lists = [crl(Ca.root("Stranger"))]
    synced.entries = [("0003", "eecerts/p1")]
    assert isinstance(synced.device.sync().steps[0].error, VerificationError)
    synced.entries = [("0005", "crls")]
    assert isinstance(synced.device.sync().steps[0].error, VerificationError)
    assert synced.device.state.packages.lists() == ()


def test_a_server_whose_certificate_is_revoked_gets_nothing(synced):
    """The kept lists count in the handshake of everything the device does: a list, a renewal, a refresh."""
    port = int(synced.server.url.rpartition(":")[2])
    shown = x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode())
    synced.lists = [crl(synced.ca, shown)]
    synced.entries = [("0005", "crls")]
    synced.outcomes()
    synced.asked()
    for ask in (synced.device.sync, synced.device.sync_plan, synced.device.refresh_anchors, synced.device.renew):
        with pytest.raises(ServerNotTrustedError, match="revoked on ") as caught:
            ask()
        assert caught.value.reason == "certificate revoked"
    assert synced.asked() == []


def test_an_issuing_ca_that_was_revoked_renews_nothing(synced):
    issuing = synced.ca.issue_ca("Issuing")
    synced.below, synced.issuer = [issuing], issuing
    synced.lists = [crl(synced.ca, issuing.certificate)]
    synced.entries = [("0005", "crls")]
    synced.outcomes()
    with pytest.raises(CertificateMismatchError, match=r"CN=Issuing, which is not used .*: revoked on "):
        synced.device.renew()
    assert synced.device.certificate == synced.certificate


def test_lists_that_were_damaged_are_fetched_anew(synced):
    synced.lists = [crl(synced.ca)]
    synced.publish("p1", synced.peer())
    synced.entries = FETCHES
    synced.outcomes()
    packages = synced.device.state.packages
    for path in (packages.crls_file, packages.peers_file):
        path.write_text("-----BEGIN X509 CRL-----\nbm8=\n-----END X509 CRL-----\n")
    (synced.device.state.path / "sync.json").write_text("{")
    with pytest.raises(StateCorruptError, match=r"crls\.pem"):
        synced.device.renew(RenewalPlan())
    assert len(synced.device.state.check()) == 3
    report = synced.device.sync()
    assert not report.failed
    assert "crls.pem: cannot be understood" in report.notes[0]
    assert (len(synced.device.peers), len(synced.device.revocation_lists)) == (1, 1)
    assert synced.device.state.check() == ()


def test_a_device_that_is_not_enrolled(synced, tmp_path):
    from device_sdk.client.device import Device

    with pytest.raises(StateError, match="not enrolled"):
        Device(tmp_path / "other").sync()


def test_a_server_that_is_away(synced):
    synced.server.close()
    with pytest.raises(TransportError):
        synced.device.sync()


def test_somebody_elses_list_in_the_name_of_the_root_changes_nothing(synced):
    synced.lists = [crl(synced.ca, number=1)]
    synced.entries = [("0005", "crls")]
    synced.outcomes()
    kept = synced.device.revocation_lists
    synced.lists = [crl(synced.ca, synced.peer(), number=9, key=new_key()), crl(synced.ca, number=2)]
    report = synced.device.sync()
    assert synced.device.revocation_lists == (synced.lists[1],) != kept
    assert report.steps[0].notes[0].startswith("rejected a revocation list of CN=EST root: ")


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
