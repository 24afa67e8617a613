"""Devices that are not the one they were, or not the only one: two with one address or number, boards that are changed."""

from __future__ import annotations

import threading

import pytest

from tests.station.test_failures import fails


def test_another_board_after_the_proof(lab):
    """The self test is the last that is done on a device; that it was done on this one is looked at."""
    first = lab.board()
    socket = lab.plug("line", first)
    lab.more = '[[steps.after]]\nname = "test"\non = "device"\ncommand = ["self-test"]'
    second = lab.board(said_serial=first.serial_number, macs=first.macs)

    def swap(name: str) -> None:
        if name == "run":
            socket.board = second

    socket.on = swap
    facts = fails(lab, None, "and has another one, or none, at the end")
    assert facts["step"] == "end"
    assert lab.record(first).state == "failed"


def test_another_board_after_the_configuration(lab):
    lab.mode, first, second = "configure", lab.board(), lab.board()
    socket = lab.plug("line", first)

    def swap(name: str) -> None:
        if name == "+configure":
            socket.board = second

    socket.on = swap
    fails(lab, first, f"and now '{second.serial_number}' answers")


def test_the_same_mac_address_twice(lab):
    first, second = lab.board(macs=("02:00:5e:00:00:01",)), lab.board(macs=("02:00:5e:00:00:01",))
    lab.plug("line", first)
    assert lab.run().provisioned == 1
    lab.events.clear()
    lab.plug("line", second)
    assert lab.run().failed == 1
    record = lab.record(second)
    assert record.state == "failed"
    assert record.reason == lab.told("device-failed")[0].reason
    assert f"MAC address 02:00:5e:00:00:01 is that of device {first.serial_number} already" in record.reason
    assert second.config is None
    assert lab.record(first).state == "provisioned"


def test_two_devices_say_the_same_serial_number_at_the_same_time(lab):
    first = lab.board()
    second = lab.board(said_serial=first.serial_number)
    both = threading.Barrier(2, timeout=30)
    for name, board in (("a", first), ("b", second)):
        socket = lab.plug(name, board)
        socket.on = lambda name: both.wait() if name == "facts" and both.n_waiting < 2 and not both.broken else None

    def once(socket):
        def wait(name):
            if name == "facts":
                socket.on = lambda _name: None
                both.wait()

        return wait

    for socket in lab.rack.sockets.values():
        socket.on = once(socket)
    tally = lab.run()
    assert (tally.provisioned, tally.failed) in ((1, 1), (0, 2))
    assert "has this device" in " ".join(event.reason for event in lab.told("device-failed"))
    assert len(first.certificates) + len(second.certificates) <= 1


def test_another_device_answers_in_the_middle(lab):
    first, second = lab.board(), lab.board()
    socket = lab.plug("line", first)

    def swap(name: str) -> None:
        if name == "+create_key":
            socket.board = second
            socket.cuts = ["request"]

    socket.on = swap
    facts = fails(lab, first, f"the line was {first.serial_number}'s, and now '{second.serial_number}' answers")
    assert facts["step"] == "request"
    assert (first.certificate, second.certificate, second.config) == (None, None, None)


def test_another_device_is_put_there_without_the_line_being_cut(lab):
    """Quickly, between two steps: the request is then another one's, and is not vouched for."""
    first, second = lab.board(), lab.board()
    second.configure(b"", b"")
    second.create_key("tpm2:", "ec-p256", file_allowed=False)
    socket = lab.plug("line", first)

    def swap(name: str) -> None:
        if name == "+create_key":
            socket.board = second

    socket.on = swap
    facts = fails(lab, first, "for another key than the one that the device made")
    assert facts["step"] == "issue"
    assert lab.issued(second) == 0


@pytest.mark.parametrize("macs", [("de:ad:be:ef:00:01",), (), ("02:00:5e:10:00:01", "de:ad:be:ef:00:01")])
@pytest.mark.parametrize("when", ["after a cut", "at the end"])
def test_addresses_that_change_after_the_claim(lab, macs, when):
    """What the profile refuses does not come in later, and nobody gets another device's address."""
    lab.more = '[identity]\noui = ["02:00:5e"]\nmacs = 1'
    board = lab.board(macs=("02:00:5e:10:00:01",))
    socket = lab.plug("line", board)

    def change(name: str) -> None:
        if name == "+install":
            board.macs = macs
            socket.cuts = ["prove"] if when == "after a cut" else []

    socket.on = change
    assert lab.run().failed == 1
    assert lab.record(board).state == "failed"
    assert lab.failure()["step"] == "prove"
