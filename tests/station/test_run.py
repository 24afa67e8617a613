"""One device after the other: every mode to the end, every failure with a reason, and nothing twice."""

from __future__ import annotations

import hashlib
import json

import pytest

from device_sdk.station.run.plain import line_of


@pytest.mark.parametrize("mode", ["relay", "self", "configure"])
def test_devices_are_taken_to_their_end_in_every_mode(lab, mode):
    lab.mode = mode
    if mode == "self":
        from device_sdk_simulators.serial.self_enrol import enrol_over_network

        boards = [lab.board(enrol_itself=enrol_over_network) for _ in range(2)]
    else:
        boards = [lab.board() for _ in range(2)]
    for number, board in enumerate(boards):
        lab.plug(f"line-{number}", board)
    tally = lab.run()
    assert (tally.provisioned, tally.failed, tally.known) == (2, 0, 0), lab.told("device-failed")
    for board in boards:
        record = lab.record(board)
        assert record.state == "provisioned"
        assert record.facts["operator"] == "eva"
        assert record.facts["profile_version"] == "1"
        assert board.config is not None
        (end,) = lab.entries(kind="provisioned", device=board.serial_number)
        assert (end.outcome, record.proved) == (("configured", False) if mode == "configure" else ("done", True))
        if mode == "configure":
            assert board.certificate is None
            continue
        assert lab.issued(board) == 1
        assert record.facts["certificate_sha256"] == board.enrolled
        assert record.facts["certificate_serial"] == f"{board.certificate.serial_number:x}"
        assert record.facts["attestation"]["fixed_tpm"] is True
        assert record.facts["public_key_sha256"] == hashlib.sha256(board.current.public_key).hexdigest()
    assert len(lab.told("device-provisioned")) == 2
    words = "CONFIGURED, nothing proved" if mode == "configure" else "PROVISIONED"
    assert all(words in (line_of(event) or "") for event in lab.told("device-provisioned"))
    assert lab.told("run-ended")[0].reason == "done"
    for event in lab.events:
        json.dumps(event.to_json())
    assert list((lab.directory / "bench-1").glob("*.json")) == []
