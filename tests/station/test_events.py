"""The stream of events: what hangs on it cannot stop a run."""

from __future__ import annotations

import json
import logging

from device_sdk.station.run.events import DeviceChanged, DeviceFailed, EventStream, LineFound, Note
from device_sdk.station.run.states import DeviceState


def test_every_observer_is_told_everything_until_it_is_removed():
    first, second = [], []
    stream = EventStream(first.append)
    remove = stream.add(second.append)
    stream.emit(LineFound(line="a"))
    remove()
    remove()
    stream.emit(LineFound(line="b"))
    assert [one.line for one in first] == ["a", "b"]
    assert [one.line for one in second] == ["a"]


def test_an_observer_that_raises_is_left_out_and_the_others_go_on(caplog):
    told = []

    def broken(_event):
        told.append("broken")
        raise RuntimeError("no terminal")

    stream = EventStream(broken, told.append)
    with caplog.at_level(logging.ERROR):
        stream.emit(Note(words="one"))
        stream.emit(Note(words="two"))
    assert [one if one == "broken" else one.words for one in told] == ["broken", "one", "two"]
    assert "told nothing any more" in caplog.text


def test_as_json_without_what_is_not_known():
    event = DeviceFailed(line="a", serial_number=None, step="open", code="line", reason="cut", at=5.0)
    assert json.loads(json.dumps(event.to_json())) == {
        "event": "device-failed",
        "at": 5.0,
        "line": "a",
        "step": "open",
        "code": "line",
        "reason": "cut",
        "elapsed_s": 0.0,
        "counted": True,
    }
    changed = DeviceChanged(line="a", serial_number="SN-1", state=DeviceState.KEY)
    assert json.loads(json.dumps(changed.to_json()))["state"] == "key"
