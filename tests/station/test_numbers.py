"""A run for so many devices that is broken off: those that had ended count, once, and it ends when the rest did."""

from __future__ import annotations

import time
from functools import partial
from types import SimpleNamespace

import pytest

from device_sdk.station.ledger import Ledger
from device_sdk.station.run.tally import Tally
from tests.station.direct import Killed, Socket


def _one_done_one_under_way(lab, then) -> list[Socket]:
    """Two lines; `then` happens when the board on the first is done and that on the second is being asked."""
    sockets = [lab.plug("first"), lab.plug("second")]

    def on(name: str) -> None:
        if name == "request":
            end = time.monotonic() + 60
            while not lab.told("device-provisioned"):
                assert time.monotonic() < end
                time.sleep(0.01)
            then()

    sockets[1].on = on
    return sockets


def _stop(lab) -> None:
    lab.running.stop()


def _third(lab, socket: Socket) -> None:
    """When the board there is done, another one is put in its place."""
    board, third = socket.board, lab.board()
    lab.asks = 0.05

    def change(name: str) -> None:
        if name == "facts" and any(one.serial_number == board.serial_number for one in lab.told("device-provisioned")):
            socket.board = third

    socket.on = change


@pytest.mark.parametrize("known", ["skip", "again", "refuse"])
def test_a_killed_run_ends_when_as_many_devices_did_as_if_it_had_not_been(lab, known):
    """The board that was done still stands at its line: it is left alone, whatever is done with known ones otherwise."""
    lab.more = f'[identity]\nknown = "{known}"'

    def die() -> None:
        raise Killed

    sockets = _one_done_one_under_way(lab, die)
    with pytest.raises(Killed):
        lab.run(once=False, devices=3)
    sockets[0].asked.clear()
    _third(lab, sockets[1])
    tally = lab.run(once=False, devices=3)
    assert (tally.provisioned, tally.failed, tally.known) == (3, 0, 0), lab.told("device-failed")
    assert set(sockets[0].asked) == {"facts", "prove"}
    started, ended = lab.told("run-started"), lab.told("run-ended")
    assert started[0].run == started[1].run
    assert (started[1].provisioned, ended[1].provisioned) == (1, 3)
    assert lab.issued(sockets[0].board) == 1


def test_a_run_that_was_stopped_goes_on_with_the_rest_by_the_same_command(lab):
    sockets = _one_done_one_under_way(lab, partial(_stop, lab))
    assert lab.run(once=False, devices=3).provisioned == 1
    assert "2 of 3 devices are left" in lab.told("note")[-1].words
    _third(lab, sockets[1])
    tally = lab.run(once=False, devices=3)
    assert (tally.provisioned, tally.failed, tally.known) == (3, 0, 0), lab.told("device-failed")
    assert len({one.run for one in lab.told("run-started")}) == 1
    assert not (lab.directory / "bench-1" / "run.json").exists()


def test_a_run_that_was_stopped_does_not_go_on_by_another_command(lab):
    _one_done_one_under_way(lab, partial(_stop, lab))
    lab.run(once=False, devices=3)
    tally = lab.run(once=False, devices=2)
    assert (tally.provisioned, tally.known) == (1, 1)
    assert len({one.run for one in lab.told("run-started")}) == 2


def test_the_last_word_of_each_device_counts(tmp_path):
    """What the ledger has of the run, by this profile; what is met again says something new, or is not counted twice."""
    profile = SimpleNamespace(name="board", version="2")
    mine = {"profile": "board", "profile_version": "2"}
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        for device, facts in (("SN1", mine), ("SN2", mine), ("SN3", mine | {"profile_version": "1"})):
            claim = ledger.claim(device, "b", "run-1", 60)
            ledger.append("failed", claim=claim, facts=facts)
            if device == "SN1":
                ledger.append("provisioned", claim=claim, facts=facts)
            ledger.release(claim)
        ledger.append("note", device="SN4", run="run-1", outcome="known")
        ledger.append("note", device="SN1", run="run-1", outcome="known")
        ledger.append("note", device="SN2", run="run-1")
        ledger.append("failed", line="l1", run="run-1", facts=mine)
        ledger.append("failed", line="l2", run="run-1", facts=mine | {"serial_number": "SN5"})
        ledger.append("failed", line="l2", run="run-2", facts=mine)
        tally = Tally()
        tally.restore(ledger, "run-1", profile)
    numbers = lambda: (tally.provisioned, tally.failed, tally.known)  # noqa: E731
    assert numbers() == (1, 3, 1)
    assert [tally.done_before(one) for one in ("SN1", "SN2")] == [True, False]
    assert not tally.count("known", "l1", "SN1")
    assert not tally.count("failed", "l1", None)
    assert numbers() == (1, 3, 1)
    assert tally.count("provisioned", "l1", "SN2")
    assert numbers() == (2, 2, 1)
    assert tally.count("failed", "l1", None), "the second time it is another one"
    assert tally.count("known", "l1", "SN1")
    assert numbers() == (2, 3, 2)


def test_who_says_the_number_of_a_device_that_was_provisioned_is_another_one(tmp_path):
    """Before the kill or after it: what was provisioned stays so, and the other one is counted once."""
    profile = SimpleNamespace(name="board", version="2")
    mine = {"profile": "board", "profile_version": "2"}
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        claim = ledger.claim("SN1", "b", "run-1", 60)
        ledger.append("provisioned", claim=claim, facts=mine)
        ledger.release(claim)
        ledger.append("failed", line="l2", run="run-1", facts=mine | {"serial_number": "SN1"})
        tally = Tally()
        tally.restore(ledger, "run-1", profile)
    assert (tally.provisioned, tally.failed) == (1, 1)
    assert not tally.count("failed", "l2", "SN1"), "met again"
    assert tally.count("failed", "l3", "SN1"), "and on another line"
    assert (tally.provisioned, tally.failed) == (1, 2)
    assert tally.done_before("SN1")
