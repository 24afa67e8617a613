"""Revocation lists that `sync` keeps, and what they take away: peers, servers, issuers (RFC 8295 section 4.1)."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from device_sdk.client.device import RenewalPlan
from device_sdk.errors import (
    CertificateMismatchError,
    ServerNotTrustedError,
    StateCorruptError,
)
from tests.est.pki import DAY, NOW, new_key
from tests.packages.test_crls import crl
from tests.packages.test_sync import DONE, FETCHES


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
    assert bad.public_bytes(Encoding.PEM) not in synced.device.state.packages.peers_file.read_bytes()
    assert len(synced.device.state.packages.peers()) == 1
    synced.entries = FETCHES
    report = synced.device.sync()
    assert any(note.startswith("rejected CN=bad: revoked on ") for note in synced.result(report, "0003").notes)


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


def test_somebody_elses_list_in_the_name_of_the_root_changes_nothing(synced):
    synced.lists = [crl(synced.ca, number=1)]
    synced.entries = [("0005", "crls")]
    synced.outcomes()
    kept = synced.device.revocation_lists
    synced.lists = [crl(synced.ca, synced.peer(), number=9, key=new_key()), crl(synced.ca, number=2)]
    report = synced.device.sync()
    assert synced.device.revocation_lists == (synced.lists[1],) != kept
    assert report.steps[0].notes[0].startswith("rejected a revocation list of CN=EST root: ")
