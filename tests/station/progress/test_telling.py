"""Standard output that cannot be written to: the run goes on, that is said once, and what has room again is printed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from device_sdk.cli.output import Output
from device_sdk.cli.station.telling import Telling
from device_sdk.station.run.events import Note


def test_a_full_disk_is_said_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:  # closing it fails if something is left that could not be written
        monkeypatch.setattr(sys, "stdout", full)
        telling = Telling(Output(as_json=True))
        for number in range(3):
            telling(Note(words=f"note {number}"))
        telling.close()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot write to standard output: No space left on device; the run goes on" in said
    assert telling.wrong


def test_what_has_room_again_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        telling = Telling(Output(as_json=True))
        telling(Note(words="before"))
        with (tmp_path / "room").open("w") as room:
            os.dup2(room.fileno(), full.fileno())
        telling(Note(words="after"))
        lines = (tmp_path / "room").read_text().splitlines()
        assert [json.loads(line)["words"] for line in lines] == ["before", "after"]
        telling.close()


def test_a_pipe_that_nobody_reads(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As by `| head -2`: that is how somebody wanted it."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        telling = Telling(Output())
        for _ in range(3):
            telling(Note(words="note"))
        telling.close()
    assert capsys.readouterr().err == "device-sdk: nobody reads standard output any more; the run goes on\n"
    assert telling.wrong == ""


def test_no_standard_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    telling = Telling(Output())
    telling(Note(words="note"))
    telling(Note(words="note"))
    telling.close()
    assert capsys.readouterr().err.count("it is closed; the run goes on") == 1
