"""A station that dies, or a cable that is pulled, at any point: the next attempt goes on, and nothing is done twice."""

from __future__ import annotations

import json
import threading
import time

import pytest
from device_sdk_simulators.serial.self_enrol import enrol_over_network

from tests.station.direct import Killed

OPERATIONS = ("facts", "configure", "create_key", "request", "install", "prove")


@pytest.mark.parametrize("after", ["", "+"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_cable_that_is_pulled_at_any_step_costs_an_attempt_and_no_second_certificate(lab, operation, after):
    board = lab.board()
    socket = lab.plug("line", board)
    socket.cuts = [after + operation]
    tally = lab.run()
    assert (tally.provisioned, tally.failed) == (1, 0), lab.told("device-failed")
    assert socket.cuts == []
    assert [one.attempt for one in lab.told("retrying")] == [2]
    assert (lab.record(board).state, lab.issued(board), len(board.certificates)) == ("provisioned", 1, 1)


@pytest.mark.parametrize("mode", ["relay", "self"])
@pytest.mark.parametrize("after", ["", "+"])
@pytest.mark.parametrize("operation", [*OPERATIONS, "enrol"])
def test_a_station_that_dies_at_any_step_goes_on_and_gets_no_second_certificate(lab, operation, after, mode):
    lab.mode = mode
    board = lab.board(enrol_itself=enrol_over_network)
    socket = lab.plug("line", board)

    def die(name: str) -> None:
        if name == after + operation:
            socket.on = lambda _name: None
            raise Killed

    socket.on = die
    there = operation in (
        "facts",
        "configure",
        "create_key",
        "prove",
        *(("enrol",) if mode == "self" else ("request", "install")),
    )
    if there:
        with pytest.raises(Killed):
            lab.run()
        # what the station kept on disk and the ledger is all that the next one has
        assert lab.run().provisioned == 1, lab.told("device-failed")
    else:
        assert lab.run().provisioned == 1
    record = lab.record(board)
    assert (record.state, lab.issued(board), len(board.certificates)) == ("provisioned", 1, 1)
    runs = {one.run for one in lab.told("run-started")}
    assert len(runs) == 1, "a run that was broken off goes on by its name"
    assert not (lab.directory / "bench-1" / "run.json").exists()


def test_commands_that_were_done_are_not_done_again(lab, tmp_path):
    counter, label = tmp_path / "flashed", tmp_path / "labels"
    lab.more = f"""
[[steps.before]]
name = "flash"
command = ["sh", "-c", 'echo "$0" >> {counter}', "${{serial_number}}"]
[[steps.after]]
name = "test"
on = "device"
command = ["self-test"]
[steps.label]
command = ["sh", "-c", 'echo "$BENCH_SERIAL_NUMBER $BENCH_CERTIFICATE_SHA256" >> {label}']
"""
    board = lab.board()
    socket = lab.plug("line", board)
    socket.cuts = ["request", "+install", "run"]
    assert lab.run().provisioned == 1, lab.told("device-failed")
    assert counter.read_text() == f"{board.serial_number}\n"
    assert label.read_text() == f"{board.serial_number} {board.enrolled}\n"
    steps = lab.record(board).steps
    assert (steps["before:flash"], steps["after:test"], steps["label"]) == ("kept", "done", "done")


def test_a_device_that_forgot_its_key_begins_anew(lab):
    """A factory reset between two runs: what was issued for the old key is of no use, and is not given to the device."""
    board = lab.board()
    socket = lab.plug("line", board)
    socket.cuts = ["install", "install", "install"]
    assert lab.run().failed == 1
    old = board.pending
    board.pending = None
    assert lab.run().provisioned == 1, lab.told("device-failed")
    assert board.current.public_key != old.public_key
    assert lab.issued(board) == 2


def test_what_is_kept_cannot_be_read(lab):
    board = lab.board()
    lab.plug("line", board).cuts = ["install"] * 3
    lab.run()
    (kept,) = (lab.directory / "bench-1").glob("*.json")
    kept.write_text(kept.read_text()[:-40])
    lab.events.clear()
    assert lab.run().failed == 1
    assert "remove it" in lab.told("device-failed")[0].reason
    kept.unlink()
    assert lab.run().provisioned == 1


def test_a_station_that_is_stopped_lets_its_devices_go_and_the_next_run_goes_on(lab):
    board = lab.board()
    socket = lab.plug("line", board)
    stopped = threading.Event()

    def stop(name: str) -> None:
        if name == "request":
            stopped.set()
            lab.running.stop()

    socket.on = stop
    tally = lab.run()
    assert stopped.is_set()
    assert (tally.provisioned, tally.failed) == (0, 0)
    assert [one.step for one in lab.told("device-released")] == ["request"]
    assert lab.record(board).steps["request"] == "done", "the step it was in is finished"
    assert lab.record(board).state == "released"
    assert lab.told("run-ended")[0].reason == "interrupted"
    socket.on = lambda _name: None
    assert lab.run().provisioned == 1
    assert socket.asked.count("request") == 1
    assert lab.issued(board) == 1


def test_stopped_a_second_time_the_step_is_ended_too(lab):
    board = lab.board()
    socket = lab.plug("line", board)

    def stop(name: str) -> None:
        if name == "request":
            lab.running.stop()
            lab.running.stop()
            socket.cuts = ["request"]  # what `cancel` makes of an operation on a real line

    socket.on = stop
    assert lab.run().failed == 0
    assert lab.record(board).state == "released"


def test_a_request_that_the_server_did_not_decide_is_posted_again_as_it_was(lab):
    server = lab.shop.server
    board = lab.board()
    lab.plug("line", board)
    server.policy.require_approval = True
    try:
        assert lab.run().failed == 1
        assert "not decided yet" in lab.failure()["reason"]
        (kept,) = (lab.directory / "bench-1").glob("*.json")
        csr = json.loads(kept.read_text())["csr"]
        assert server.est.queue.decide(None, approve=True) == 1
        # the server had asked for a second's patience
        deadline = time.monotonic() + 60
        while not lab.run().provisioned:
            assert time.monotonic() < deadline, lab.told("device-failed")
        assert csr
    finally:
        server.policy.require_approval = False
    assert lab.issued(board) == 1
