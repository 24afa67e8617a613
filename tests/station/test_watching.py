"""A station that goes on: boards are changed on a line that stays, lines without a board are no failures."""

from __future__ import annotations

import threading


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


def test_stopped_from_outside_while_it_waits(lab):
    lab.plug("line")
    thread, ended = _in_background(lab)
    while not lab.told("waiting"):
        thread.join(0.05)
        assert thread.is_alive()
    lab.running.stop()
    thread.join(30)
    assert ended[0].provisioned == 1
    assert lab.told("run-ended")[0].reason == "interrupted"
