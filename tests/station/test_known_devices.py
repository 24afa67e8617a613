"""Devices that were provisioned before: each proves that it is that one, or is nobody."""

from __future__ import annotations


def test_a_device_that_is_known(lab):
    board = lab.board()
    socket = lab.plug("line", board)
    assert lab.run().provisioned == 1
    socket.asked.clear()
    tally = lab.run()
    assert (tally.provisioned, tally.failed, tally.known) == (0, 0, 1)
    assert socket.asked == ["facts", "prove"]
    assert "; it proved its certificate" in lab.entries(kind="note")[-1].facts["note"]
    assert lab.record(board).state == "provisioned"
    lab.more = '[identity]\nknown = "refuse"'
    lab.events.clear()
    assert lab.run().failed == 1
    assert "was provisioned at" in lab.told("device-failed")[0].reason
    first, *met_it = [one.run for one in lab.entries(kind="run-started")]
    assert f"in run {first}" in lab.told("device-failed")[0].reason, met_it
    assert lab.record(board).state == "provisioned"
    lab.more = '[identity]\nknown = "again"'
    assert lab.run().provisioned == 1
    assert (lab.issued(board), len(board.certificates)) == (2, 2)
    assert lab.record(board).facts["certificate_sha256"] == board.enrolled


def test_somebody_elses_serial_number_is_no_known_device(lab):
    first = lab.board()
    lab.plug("line", first)
    assert lab.run().provisioned == 1
    bare, enrolled = lab.board(said_serial=first.serial_number), lab.board()
    lab.plug("line", enrolled)
    assert lab.run().provisioned == 1
    enrolled.said_serial = first.serial_number
    for board, words in ((bare, "has no certificate"), (enrolled, "its certificate does not name that")):
        socket = lab.plug("line", board)
        tally = lab.run()
        assert (tally.provisioned, tally.failed, tally.known) == (0, 1, 0)
        reason = lab.told("device-failed")[-1].reason
        assert "and this device does not prove that it is that one" in reason
        assert words in reason
        assert set(socket.asked) == {"facts", "prove"}
    assert lab.record(first).state == "provisioned"


def test_a_known_device_whose_cable_is_pulled_while_it_proves_itself(lab):
    board = lab.board()
    socket = lab.plug("line", board)
    assert lab.run().provisioned == 1
    socket.cuts = ["prove"]
    tally = lab.run()
    assert (tally.failed, tally.known) == (0, 1)


def test_a_known_device_of_a_profile_without_certificates_has_its_addresses(lab):
    lab.mode, first = "configure", lab.board()
    lab.plug("line", first)
    assert lab.run().provisioned == 1
    assert lab.run().known == 1
    lab.plug("line", lab.board(said_serial=first.serial_number))
    assert lab.run().failed == 1
    assert "had the MAC address" in lab.told("device-failed")[-1].reason
