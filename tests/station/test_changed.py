"""Profiles, ledgers and modes that are changed between two runs: what is called done was done by what stands there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from device_sdk.client.bench import DeviceFacts
from device_sdk.errors import ConfigurationError
from device_sdk.station.ledger import Ledger
from device_sdk.station.profile import load_profile
from device_sdk.station.run.going_on import job_of
from device_sdk.station.run.kept import Kept
from tests.station.direct import Killed

_BURN_IN = '[[steps.before]]\nname = "burn-in"\ncommand = ["{}"]\ntimeout_s = {}'


def _killed_after_install(lab, before="prove"):
    board = lab.board()
    socket = lab.plug("line", board)

    def die(name: str) -> None:
        if name == before:
            socket.on = lambda _name: None
            raise Killed

    socket.on = die
    with pytest.raises(Killed):
        lab.run()
    return board


def test_a_device_that_is_under_way_begins_anew_when_its_profile_was_changed(lab):
    """Also without a new version: else it would be called done by a test that it never passed."""
    lab.more = _BURN_IN.format("true", 60)
    board = _killed_after_install(lab)
    lab.more = _BURN_IN.format("false", 60)
    assert lab.run().failed == 1
    assert lab.record(board).steps["before:burn-in"] == "failed"
    assert "was changed since, and begins anew" in lab.entries(kind="note")[0].facts["note"]
    lab.more = ""
    assert lab.run().provisioned == 1, lab.told("device-failed")
    assert lab.issued(board) == 2


def test_times_and_lines_of_a_profile_may_be_changed_in_the_middle(lab):
    """What to do after "took longer than" costs no second certificate, and the ledger has everything of the key."""
    lab.more = _BURN_IN.format("true", 60)
    board = _killed_after_install(lab)
    lab.more, lab.limits, lab.lines_text = _BURN_IN.format("true", 90), "step_s = 90", "baud = 9600"
    assert lab.run().provisioned == 1, lab.told("device-failed")
    assert lab.record(board).steps["before:burn-in"] == "kept"
    assert lab.issued(board) == 1
    (entry,) = lab.entries(kind="provisioned")
    assert {"key_uri", "key_type", "attestation"} <= set(entry.facts)


@pytest.mark.parametrize(("before", "issued"), [("install", 1), ("prove", 2)])
def test_another_place_for_certificates_costs_none_while_the_device_has_none(lab, before, issued):
    """It is told the place before it gets what waits for it; one that has it already would not be told, and begins anew."""
    board = _killed_after_install(lab, before)
    text = lab.shop.profile(lab.mode, asks=lab.asks)
    text = text.replace("config = '''\n", "config = '''\ncertificates_dir = \"/data/certificates\"\n")
    assert lab.run(profile=text).provisioned == 1, lab.told("device-failed")
    assert lab.issued(board) == issued
    assert lab.record(board).steps["configure"] == "done"


def test_what_an_earlier_version_kept_learns_the_places(lab):
    """Such a job has no digest of the profile without its places; a profile that changes nothing else finds it all the same."""
    board = _killed_after_install(lab, "install")
    (file,) = (one for one in lab.directory.rglob("*.json") if "but_places" in one.read_text())
    values = json.loads(file.read_text())
    kept = Kept(file.parent).load(values["serial_number"])
    profile = load_profile(lab.directory / "profile.toml")
    old, _ = job_of(replace(kept, but_places=""), profile, DeviceFacts(board.serial_number), board.serial_number)
    assert old == kept
    assert kept.but_places


def test_a_device_that_was_only_configured_is_not_known_to_a_profile_that_proves(lab):
    board = lab.board()
    lab.plug("line", board)
    lab.mode = "configure"
    assert lab.run().provisioned == 1
    assert lab.run().known == 1
    lab.mode = "relay"
    assert lab.run().provisioned == 1, lab.told("device-failed")
    assert lab.issued(board) == 1
    assert lab.run().known == 1
    lab.mode = "configure"
    assert lab.run().known == 1
    assert "by profile board 1" in lab.told("note")[-1].words


def test_a_run_that_was_broken_off_does_not_go_on_in_another_ledger(lab):
    _killed_after_install(lab)
    lab.directory.joinpath("other").mkdir()
    with Ledger.open(lab.directory / "other" / "ledger.sqlite") as other:
        station = lab.station(other)
        with pytest.raises(ConfigurationError, match="stands in another ledger"):
            station.run()
        station.server.close()
        assert list(other.entries()) == []
    assert lab.run().provisioned == 1
