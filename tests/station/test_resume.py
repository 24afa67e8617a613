"""A station that dies, or a cable that is pulled, at any point: the next attempt goes on, and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

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


def test_a_device_that_shows_another_key_each_time_does_not_get_certificates_for_ever(lab):
    """It is not tried for ever either, and a second run does not begin to count anew."""
    lab.limits, board = "device_s = 60", lab.board()
    make = board.create_key

    def create_key(*words, **named):
        board.pending = None
        return make(*words, **named)

    board.create_key = create_key
    socket = lab.plug("line", board)

    def cut(name: str) -> None:
        if name == "facts":
            socket.cuts = ["install" if socket.opened % 2 else "configure"]

    socket.on = cut
    assert lab.run().failed == 1
    done = [one for one in lab.entries(kind="step") if one.outcome == "done"]
    serials = [one.facts["certificate_serial"] for one in done if one.step == "issue"]
    assert lab.issued(board) == len(serials) == 3
    assert f"was issued 3 certificates ({', '.join(serials)}), and has proved none" in lab.failure()["reason"]
    given_up = [one.facts.get("certificate_given_up") for one in done if one.step == "key"]
    assert [one for one in given_up if one] == serials
    lab.events.clear()
    assert lab.run().failed == 1
    assert lab.issued(board) == 3


def test_a_device_that_never_proves_what_it_is_issued_does_not_get_certificates_for_ever(lab):
    board = lab.board()
    socket = lab.plug("line", board)

    def forget(name: str) -> None:
        if name == "prove":
            board.current = None

    socket.on = forget
    for _ in range(4):
        assert lab.run().failed == 1
    assert lab.issued(board) == 3


def test_a_device_that_fails_elsewhere_each_time_has_an_end(lab):
    lab.limits, board = "device_s = 600", lab.board()
    socket = lab.plug("line", board)

    def cut(name: str) -> None:
        if name == "facts":
            socket.cuts = ["create_key" if socket.opened % 2 else "configure"]

    socket.on = cut
    assert lab.run().failed == 1
    assert len(lab.told("retrying")) == 16  # eight times two


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


def _slow(directory: Path) -> str:
    """A command that does not end by itself, and something that it started."""
    return f"""
[[steps.before]]
name = "flash"
timeout_s = 600
command = ["sh", "-c", 'echo begun >> {directory}/flash; sleep 600 & sleep 600']
"""


def _strike_twice(lab, when: Callable[[], bool]) -> threading.Thread:
    """Ctrl-C in this process, and again, from when something is so; the second is not swallowed by the first."""

    def strike() -> None:
        _wait_until(when)
        os.kill(os.getpid(), signal.SIGINT)
        _wait_until(lambda: lab.running._asked > 0)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


def _wait_until(when: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not when():
        assert time.monotonic() < end
        time.sleep(0.02)


def _runs_in(directory: Path) -> list[str]:
    """Processes whose command line names this directory, or that such a one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"IN={directory}".encode() in path.read_bytes():
                found.append(path.parent.name)
    return found


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Ctrl-C as Python has it, whatever a test before this one left there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.slow
@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_a_second_time_ends_a_command_on_the_station_and_lets_the_device_go(lab, tmp_path, monkeypatch):
    """No device is left to itself: the run ends when the last worker did, and the same command goes on at once."""
    monkeypatch.setenv("HOME", f"IN={tmp_path}")  # one of the variables that commands have
    lab.more = _slow(tmp_path)
    board = lab.board()
    lab.plug("line", board)
    striking = _strike_twice(lab, (tmp_path / "flash").exists)
    with pytest.raises(KeyboardInterrupt):
        lab.run()
    striking.join()
    assert _runs_in(tmp_path) == []
    assert "was ended with the run" in lab.told("step-ended")[-1].words
    last = [one.kind for one in lab.entries()][-2:]
    assert last == ["released", "run-ended"]
    lab.more = ""
    assert lab.run().provisioned == 1, lab.told("device-failed")
