"""What goes wrong ends in an entry of the ledger that a person understands, and never in a device that is called done."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from device_sdk.errors import ConfigurationError, LineError, LineSilentError, StateBusyError
from device_sdk.station.ledger import Ledger


def fails(lab, board, words, *, state="failed", issued=0):
    """One run; the device fails, the ledger says why."""
    tally = lab.run()
    assert (tally.provisioned, tally.failed) == (0, 1)
    facts = lab.failure()
    assert words in facts["reason"]
    assert facts["operator"] == "eva"
    assert lab.told("device-failed")[0].reason == facts["reason"]
    if board is not None:
        assert lab.record(board).state == state
        assert lab.issued(board) == issued
    return facts


def test_nobody_answers(lab):
    lab.plug("line")
    lab.rack.sockets["direct://line"].board = None
    facts = fails(lab, None, "nobody answers")
    assert (facts["excerpt"], facts["baud"], facts["way"]) == ("garbage at the wrong rate", 115200, "agent")
    assert [one.attempt for one in lab.told("retrying")] == [2, 3]


def test_no_line_is_there(lab):
    with pytest.raises(LineError, match="no line is there"):
        lab.run()


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ('serial_number = "X-[0-9]+"', "not of the form that the profile takes"),
        ('allowed = "serials.txt"', "is not on the list"),
        ('oui = ["00:00:01"]', "not of this maker"),
        ("macs = 2", "names 1 MAC addresses, and 2 are needed"),
    ],
)
def test_a_device_that_the_profile_is_not_for(lab, rules, words):
    (lab.directory / "serials.txt").write_text("# expected\nSN-1\n")
    lab.more = f"[identity]\n{rules}"
    board = lab.board()
    socket = lab.plug("line", board)
    fails(lab, board, words)
    assert board.config is None
    assert "configure" not in socket.asked


@pytest.mark.parametrize("serial", ["", " SN", "S\x1b[2JN", "S" * 65, "\N{RIGHT-TO-LEFT OVERRIDE}NS"])
def test_a_serial_number_that_cannot_be_one(lab, serial):
    lab.plug("line", lab.board(said_serial=serial or " "))
    facts = fails(lab, None, "cannot be a serial number")
    assert facts["serial_number"].isprintable()


@pytest.mark.parametrize("more", ["\u3164", "\u115f", "\u2800", "\uffa0", "\u0301", "\uff11", "\u0430"])
def test_a_serial_number_that_looks_like_another(lab, more):
    """Hangul fillers, Braille without dots, combining marks, wide digits; Cyrillic only where a pattern takes it."""
    lab.plug("line", lab.board(f"R1{more}"))
    assert "would name another device" in fails(lab, None, "it calls itself")["reason"]
    if more != "\u0430":
        lab.more = '[identity]\nserial_number = ".+"'
        assert lab.run().failed == 1


def test_a_device_that_cannot_use_the_key_of_its_certificate_is_not_done(lab):
    board = lab.board()
    socket = lab.plug("line", board)

    def other_key(name: str) -> None:
        if name == "prove":
            from dataclasses import replace

            board.current = replace(board.current, key=ec.generate_private_key(ec.SECP256R1()))

    socket.on = other_key
    fails(lab, board, "could not use the key of the certificate", issued=1)
    assert not list((lab.directory / "bench-1").glob("SN*"))


def test_a_certificate_of_somebody_elses_ca_is_no_proof(lab, tmp_path):
    """In mode "self" the device says where its certificate is from; the station believes its anchors only."""
    from device_sdk_simulators.serial.self_enrol import enrol_over_network
    from device_sdk_simulators.server import ReferenceServer

    with ReferenceServer(tmp_path / "other") as other:
        board = lab.board(enrol_itself=enrol_over_network)
        board.password = other.password

        def elsewhere(one):
            one.config = one.config.replace(lab.shop.server.url.encode(), other.url.encode())
            one.anchors = other.ca_file.read_bytes()
            return enrol_over_network(one)

        board.enrol_itself = elsewhere
        lab.mode = "self"
        lab.plug("line", board)
        facts = fails(lab, board, "no path to a trust anchor")
    assert facts["step"] == "prove"


def test_a_key_that_is_not_attested_as_the_profile_wants(lab):
    board = lab.board()
    lab.plug("line", board)
    make = board.keys.make

    def soft(*words):
        from dataclasses import replace

        made = make(*words)
        return replace(made, attestation={"keystore": "tpm2", "fixed_tpm": "yes"})

    board.keys.make = soft
    facts = fails(lab, board, "the profile wants fixed_tpm = True, and the device says 'yes'")
    assert facts["step"] == "key"


def test_the_device_refuses(lab):
    board = lab.board()
    lab.plug("line", board)
    lab.more = '[[steps.after]]\nname = "test"\non = "device"\ncommand = ["not-there"]'
    facts = fails(lab, board, "this device does not allow it", issued=1)
    assert (facts["device_code"], facts["step"]) == ("command-not-allowed", "after:test")


def test_a_self_test_that_fails(lab):
    board = lab.board(allowed_commands={("self-test",): (3, "fan: 0 rpm\n\x1b[31m<b>")})
    lab.plug("line", board)
    lab.more = '[[steps.after]]\nname = "fan"\non = "device"\ncommand = ["self-test"]'
    facts = fails(lab, board, "fan: self-test failed with exit status 3", issued=1)
    assert facts["excerpt"] == "fan: 0 rpm\n?[31m<b>"


def test_the_station_is_no_registration_authority(lab):
    board = lab.board()
    lab.plug("line", board)
    lab.shop.server.policy.registration_authorities = False
    try:
        facts = fails(lab, board, "the server answered 403")
    finally:
        lab.shop.server.policy.registration_authorities = True
    assert facts["step"] == "issue"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("--delete-all", "would be an option"),
        ("/etc/passwd", "looks like a path"),
        ("..", "looks like a path"),
        ("a/../../b", "looks like a path"),
    ],
)
def test_a_devices_words_are_no_options_and_no_paths_of_commands(lab, said, words):
    board = lab.board(model=said)
    lab.plug("line", board)
    lab.more = '[[steps.before]]\nname = "flash"\ncommand = ["true", "${model}"]'
    fails(lab, board, words)


def test_a_command_takes_too_long_or_is_not_there(lab):
    board = lab.board()
    lab.plug("line", board)
    lab.more = '[[steps.before]]\nname = "flash"\ncommand = ["sleep", "60"]\ntimeout_s = 0.2'
    fails(lab, board, "flash: sleep took longer than 0.2 s and was stopped")


def test_a_device_that_another_station_has(lab):
    board = lab.board()
    lab.plug("line", board)
    with Ledger.open(lab.ledger_file) as ledger:
        ledger.claim(board.serial_number, "bench-9", "their-run", 600)
    fails(lab, None, "station bench-9 has this device")
    assert board.config is None


def test_a_station_that_lost_its_claim_leaves_the_device_alone(lab):
    board = lab.board()
    socket = lab.plug("line", board)

    def take(name: str) -> None:
        if name == "+create_key":
            with Ledger.open(lab.ledger_file) as ledger:
                (claimed,) = ledger.entries(kind="claimed")
                ledger.release_all("bench-1", claimed.run)
                ledger.claim(board.serial_number, "bench-9", "their-run", 600)

    socket.on = take
    tally = lab.run()
    assert tally.failed == 1
    assert "has lost its claim" in lab.failure()["reason"]
    assert "request" not in socket.asked
    assert lab.record(board).state == "claimed"


def test_two_stations_in_one_directory(lab):
    board = lab.board()
    socket = lab.plug("line", board)
    refused = []

    def second(name: str) -> None:
        if name == "configure":
            with Ledger.open(lab.ledger_file) as ledger, pytest.raises(StateBusyError) as error:
                lab.station(ledger).run()
            refused.append(error.value)

    socket.on = second
    assert lab.run().provisioned == 1
    assert refused


def test_anchors_that_cannot_be_read_are_told_before_the_first_device(lab):
    lab.plug("line")
    lab.mode = "self"
    text = lab.shop.profile("self").replace(str(lab.shop.server.ca_file), "/nonexistent/ca.pem")
    with (
        Ledger.open(lab.ledger_file) as ledger,
        pytest.raises(ConfigurationError, match=r"cannot read /nonexistent/ca.pem"),
    ):
        lab.station(ledger, profile=text)


def _self_enrolling(lab, change):
    """A board that enrols itself, and not as the station told it."""
    from device_sdk_simulators.serial.self_enrol import enrol_over_network

    def enrol(one):
        change(one)
        return enrol_over_network(one)

    lab.mode = "self"
    board = lab.board(enrol_itself=enrol)
    lab.plug("line", board)
    return board


def test_a_certificate_for_another_key_than_the_one_it_made_and_described(lab):
    def other_key(one):
        one.pending = one.keys.make("tpm2:", "ec-p256", 99)

    board = _self_enrolling(lab, other_key)
    facts = fails(lab, board, "for another key than the one it made", issued=1)
    assert facts["step"] == "prove"


def test_a_certificate_that_names_another_device(lab):
    def other_name(one):
        one.config = one.config.replace(one.serial_number.encode(), b"somebody")
        one.serial_number, one.said_serial = "OTHER-1", one.serial_number

    board = _self_enrolling(lab, other_name)
    tally = lab.run()
    assert (tally.provisioned, tally.failed) == (0, 1)
    assert "its certificate does not name that (but 'OTHER-1'" in lab.failure()["reason"]
    assert lab.record_of(board.said_serial).state == "failed"


def test_an_answer_that_was_lost_is_asked_for_again_with_the_same_request(lab):
    board = lab.board()
    socket = lab.plug("line", board)
    faults = lab.shop.server.faults
    faults.set("truncate", times=1, operation="simpleenroll")
    tally = lab.run()
    assert tally.provisioned == 1, lab.told("device-failed")
    assert [one.step for one in lab.told("retrying")] == ["issue"]
    assert (socket.asked.count("create_key"), socket.asked.count("request")) == (2, 1)


def test_the_first_reason_stands_beside_the_last(lab):
    """What is tried again says less and less: the last word of a device that hangs is that nobody answers."""
    board = lab.board()
    socket = lab.plug("a", board)

    def falls_silent(name: str) -> None:
        if name == "configure":
            socket.refuses = LineSilentError("a: nothing came", hint="power?", line="a")

    socket.on, socket.cuts = falls_silent, ["configure"]
    assert lab.run().failed == 1
    failure = lab.failure()
    assert failure["reason"] == "a: nothing came; at the first attempt: direct://a has gone (power?)"
    assert failure["excerpt"] == "the end of what it showed"
    assert [event.reason for event in lab.told("device-failed")] == [failure["reason"]]
