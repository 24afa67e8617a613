"""A station that goes on: boards are changed on a line that stays, lines without a board are no failures."""

from __future__ import annotations

import os
import select
import threading
import time
import tty

import pytest

from device_sdk.errors import AgentVersionError, DeviceSaysError, LineError, LoginRefusedError


def _in_background(lab, **limits):
    """A run that ends when a test stops it; its tally comes last in the list."""
    ended = []
    thread = threading.Thread(target=lambda: ended.append(lab.run(once=False, **limits)))
    thread.start()
    return thread, ended


def test_boards_are_changed_on_a_line_that_stays(lab):
    first, second = lab.board(), lab.board()
    socket = lab.plug("line", first)
    lab.asks = 0.05

    def change(name: str) -> None:
        if name == "facts" and first.certificate and lab.told("device-provisioned"):
            socket.board = second

    socket.on = change
    tally = lab.run(once=False, devices=2)
    assert (tally.provisioned, tally.failed) == (2, 0)
    assert (lab.record(first).state, lab.record(second).state) == ("provisioned", "provisioned")
    assert (lab.issued(first), lab.issued(second)) == (1, 1)


def test_a_line_without_a_board_is_no_failure_of_a_station_that_watches_and_waits_for_one(lab):
    board = lab.board()
    socket = lab.plug("line", board)
    socket.board = None
    lab.asks = 0.05
    noted = threading.Event()
    told = lab.events

    class Told(list):
        def append(self, event):
            told.append(event)
            if event.kind == "note":
                socket.board = board
                noted.set()

    lab.observer = Told()
    tally = lab.run(once=False, devices=1)
    assert noted.is_set()
    assert (tally.provisioned, tally.failed) == (1, 0)
    (note,) = lab.entries(kind="note")
    assert "nobody answers" in note.facts["reason"]


class _Changing(list):
    """Events; what is plugged in is changed when one of them is told."""

    def __init__(self, lab, change):
        self._told, self._change = lab.events, change
        lab.observer = self

    def append(self, event):
        self._told.append(event)
        self._change(event)


def _then(lab, socket, error, honest=None):
    """The first board is provisioned; then opening the line ends in this, and later another board is there."""

    def change(event):
        if event.kind == "device-provisioned" and event.serial_number == first.serial_number:
            socket.refuses = error
        elif event.kind in ("device-failed", "note") and event.serial_number is None:
            if honest is None:
                threading.Timer(0.4, lab.running.stop).start()
            else:
                socket.refuses, socket.board = None, honest

    first = socket.board
    _Changing(lab, change)
    lab.asks = 0.05


@pytest.mark.parametrize("kind", [AgentVersionError, DeviceSaysError, LineError])
def test_whoever_comes_after_the_first_device_and_cannot_be_taken_is_written_down_once(lab, kind):
    """And the line is not lost: who comes then is taken."""
    honest = lab.board()
    socket = lab.plug("line", lab.board())
    _then(lab, socket, kind("the words of the reason"), honest)
    tally = lab.run(once=False, devices=3)
    assert (tally.provisioned, tally.failed) == (2, 1)
    assert "the words of the reason" in lab.failure()["reason"]
    assert lab.record(honest).state == "provisioned"


def test_a_device_that_refuses_to_say_who_it_is_does_not_close_the_line_for_the_next(lab):
    honest = lab.board()
    socket = lab.plug("line", lab.board())
    socket.refuses = DeviceSaysError("no keystore")
    _then(lab, socket, None, honest)
    tally = lab.run(once=False, devices=2)
    assert (tally.provisioned, tally.failed) == (1, 1)
    assert lab.record(honest).state == "provisioned"


@pytest.mark.parametrize("when", ["after the first device", "in the middle"])
def test_a_refused_password_is_typed_once(lab, when):
    first = lab.board()
    socket = lab.plug("line", first)
    lab.asks = 0.05

    def refuse(name):
        if name == "+create_key":
            socket.cuts, socket.refuses = ["request"], LoginRefusedError("the login was refused")

    opened = []

    def change(event):
        if event.kind == "device-provisioned":
            socket.refuses = LoginRefusedError("the login was refused")
        if event.kind == "waiting" and "not tried again" in event.reason and not opened:
            opened.append(socket.opened)
            threading.Timer(0.4, lab.running.stop).start()

    if when == "in the middle":
        socket.on = refuse
    _Changing(lab, change)
    tally = lab.run(once=False)
    assert opened == [socket.opened]
    # a console that is locked when its device is done is no failure
    assert (tally.provisioned, tally.failed) == ((0, 1) if when == "in the middle" else (1, 0))
    assert any("login was refused" in str(one.facts.get("reason")) for one in lab.entries())


def test_stopped_from_outside_while_it_waits(lab):
    lab.plug("line")
    thread, ended = _in_background(lab)
    while not lab.told("waiting"):
        thread.join(0.05)
        assert thread.is_alive()
    lab.running.stop()
    thread.join(200)
    assert ended[0].provisioned == 1
    assert lab.told("run-ended")[0].reason == "interrupted"


def test_a_stop_does_not_wait_for_a_line_on_which_nobody_says_who_it_is(lab):
    """No step of any device is under way there; the question may take a minute yet."""
    there, line = os.openpty()
    tty.setraw(line)
    lab.real_lines, lab.lines_text = True, f'urls = ["{os.ttyname(line)}"]'
    lab.limits = "[limits.steps]\nidentify = 600"
    thread, ended = _in_background(lab)
    try:
        while not select.select([there], [], [], 0.05)[0]:
            assert thread.is_alive()
        begun = time.monotonic()
        lab.running.stop()
        thread.join(300)
        assert time.monotonic() - begun < 60
    finally:
        os.close(there)
        os.close(line)
        thread.join()
    assert (ended[0].failed, lab.told("device-failed")) == (0, [])
    assert lab.told("run-ended")[0].reason == "interrupted"
