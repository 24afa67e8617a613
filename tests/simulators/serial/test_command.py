"""`device-sdk-sim fleet` as a script meets it."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from device_sdk_simulators.server import ReferenceServer

from tests.simulators.command import SIM, sim
from tests.simulators.serial.station import Station


def test_lines_and_a_report_at_the_end(tmp_path: Path) -> None:
    words = ["fleet", "--devices", "2", "--listen", tmp_path / "lines", "--report", tmp_path / "report", "--json"]
    with subprocess.Popen([*SIM, *map(str, words)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = json.loads(process.stdout.readline())["lines"]
        assert [line["name"] for line in lines] == ["ttySIM0", "ttySIM1"]
        with Station(lines[1]["url"]) as station:
            station.hello()
            station.ask("configure", config=b"", anchors=b"")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    report = json.loads((tmp_path / "report").read_text())
    assert report["states"] == {"configured": 1, "untouched": 1}
    assert list((tmp_path / "lines").iterdir()) == []


def test_a_server_is_loaded(issuer: ReferenceServer) -> None:
    words = ["fleet", "--devices", "6", "--enrol", issuer.url, "--anchors", issuer.ca_file]
    done = sim(*words, "--password-file", issuer.password_file, "--at-once", 3)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["enrolled"], report["failed"]) == (6, 0)
    assert report["per_second"] > 0
    assert len({one["certificates"][0] for one in report["members"]}) == 6
    (wrong := issuer.state / "wrong").write_text("no\n")
    done = sim(*words, "--password-file", wrong)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["enrolled"], report["failed"]) == (0, 6)
    assert "401" in report["errors"][0]


def test_what_cannot_be(tmp_path: Path) -> None:
    for words, text in (
        (["--misfortune", "rain"], "no such misfortune: rain"),
        (["--faults", "2"], "no number from 0 to 1"),
        (["--enrol", "https://localhost:1"], "--enrol needs --anchors"),
        (["--listen", tmp_path / "file" / "below"], "Not a directory"),
    ):
        (tmp_path / "file").write_text("")
        done = sim("fleet", *words)
        assert done.returncode == 2
        assert text in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert "stuck: after a while the line is dead" in sim("fleet", "--misfortune", "help").stdout
