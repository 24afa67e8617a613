"""`device-sdk provision run` as a process: what it prints, its exit codes, signals, a full disk, and kill -9."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from device_sdk_simulators.serial.fleet.fleet import Fleet
from device_sdk_simulators.serial.fleet.plan import FleetPlan

from tests import warm
from tests.station.scanner import scan
from tests.station.staying import staying


@dataclass
class Bench:
    """A lab with lines, and the command line of its station."""

    lab: object
    directory: Path

    def words(self, *more: object) -> list[object]:
        file = self.directory / "profile.toml"
        file.write_text(
            self.lab.shop.profile(
                self.lab.mode,
                self.lab.more,
                lines=f'globs = ["{self.directory}/lines/tty*"]\n{self.lab.lines_text}',
                limits=self.lab.limits,
            )
        )
        place = ("--ledger", self.lab.ledger_file, "--directory", self.directory / "station")
        return [
            "-m",
            "device_sdk.cli.main",
            "provision",
            "run",
            file,
            *place,
            "--station",
            "b1",
            "--operator",
            "eva",
            *more,
        ]

    def run(self, *more: object, **options: object) -> subprocess.CompletedProcess[str]:
        return warm.run(self.words(*more), text=True, **options)

    def start(self, *more: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """A process whose events are read as they come."""
        words = [*prefix, sys.executable, *map(str, self.words("--json", *more))]
        return subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )


def _until(process: subprocess.Popen[str], wanted: Callable[[dict], bool]) -> list[dict]:
    """Events up to the one that is wanted."""
    seen = []
    for line in process.stdout:
        seen.append(json.loads(line))
        if wanted(seen[-1]):
            return seen
    raise AssertionError((seen, process.stderr.read()))


_SEEDS = itertools.count(7000)


def _seed() -> int:
    """Serial numbers that no other test of this server has."""
    return next(_SEEDS)


@pytest.fixture
def bench(lab, tmp_path) -> Bench:
    return Bench(lab, tmp_path)


@pytest.fixture
def fleet(bench) -> Iterator[Fleet]:
    plan = FleetPlan(devices=2, listen=bench.directory / "lines", seed=_seed(), linger_s=600)
    with Fleet(plan) as started:
        yield started


@pytest.mark.slow
def test_lines_of_text_for_people_and_exit_code_0(bench, fleet):
    done = bench.run("--once")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("PROVISIONED") == 2
    assert "done: 2 provisioned, 0 failed" in done.stdout


@pytest.mark.parametrize("more", [(), ("--plan",)])
@pytest.mark.parametrize("line", ["ftp://x", "../x://y", "://", "http://[x"])
def test_a_line_of_no_kind_that_there_is_begins_nothing(bench, line, more):
    done = bench.run("--lines", "/dev/ttyUSB77", line, *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"line {line!r}: there are no lines of the kind " in done.stderr
    assert "socket://HOST:PORT" in done.stderr
    assert not Path(bench.lab.ledger_file).exists()
    bench.lab.lines_text = f'urls = ["{line}"]'
    assert bench.run(*more).returncode == 2, "nor one of the profile"
    done = bench.run("--lines", "socket://127.0.0.1:1", "RFC2217://127.0.0.1:1", "loop://", "/dev/ttyUSB77", "--plan")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_plan_needs_no_pyserial(bench):
    """On the desk where a profile is written; a line that is none is told there as far as it can be."""
    bench.lab.lines_text = 'urls = ["socket://127.0.0.1:1"]'
    program = bench.directory / "without.py"
    program.write_text(
        "import sys\nsys.modules['serial'] = None\nfrom device_sdk.cli.main import main\nsys.exit(main())\n"
    )
    for more, code, said in ((("--plan",), 0, ""), ((), 2, "pyserial")):
        words = [sys.executable, program, *bench.words(*more)[2:]]  # not forked: pyserial would be there
        done = subprocess.run(words, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr


@pytest.mark.slow
def test_exit_code_1_says_that_a_device_failed(bench):
    plan = FleetPlan(devices=2, listen=bench.directory / "lines", seed=_seed(), only={1: "bad-proof"}, linger_s=600)
    with Fleet(plan):
        done = bench.run("--json", "--devices", "2")
    assert done.returncode == 1, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (failed,) = [one for one in events if one["event"] == "device-failed"]
    assert failed["code"] == "wrong-device"
    assert events[-1] | {"at": 0, "elapsed_s": 0} == events[-1] | {
        "provisioned": 1,
        "failed": 1,
        "at": 0,
        "elapsed_s": 0,
    }
    (good,) = [one for one in events if one["event"] == "device-provisioned"]
    _report_and_label(bench, failed, good)


def _report_and_label(bench: Bench, failed: dict, good: dict) -> None:
    """They take from the ledger what the run wrote there."""
    words = ("-m", "device_sdk.cli.main", "provision")
    place = ("--ledger", bench.lab.ledger_file)
    report = json.loads(warm.run([*words, "report", "--json", *place], text=True).stdout)
    assert report["counts"] == {"provisioned": 1, "failed": 1, "left": 0, "known": 0}
    (failure,) = report["failures"]
    assert [failure[name] for name in ("serial_number", "line", "step", "reason")] == [
        failed[name] for name in ("serial_number", "line", "step", "reason")
    ]
    device = next(one for one in report["devices"] if one["outcome"] == "provisioned")
    assert (device["serial_number"], device["certificate_sha256"]) == (
        good["serial_number"],
        good["certificate_sha256"],
    )
    assert device["elapsed_s"] > 0
    assert device["model"]
    assert report["about"] | {"Station": "b1", "Operator": "eva"} == report["about"]
    code = bench.directory / "code.png"
    done = warm.run([*words, "label", good["serial_number"], "--format", "png", "--out", code, *place], text=True)
    assert done.returncode == 0, done.stderr
    assert scan(code) == [f"{good['serial_number']}\nsha256:{good['certificate_sha256']}"]


def test_a_plan_opens_nothing(bench, lab):
    lab.more = '[[steps.before]]\nname = "flash"\ncommand = ["./flash", "${line}"]'
    (bench.directory / "lines").mkdir()
    (bench.directory / "lines" / "tty0").touch()
    done = bench.run("--plan")
    assert done.returncode == 0, done.stderr
    assert "before:flash (at most 60 s): ./flash ${line} (on the station)" in done.stdout
    assert "lines/tty0" in done.stdout
    assert not lab.ledger_file.exists()
    assert not (bench.directory / "station").exists()
    assert lab.shop.server.url in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--once", "--devices", "3"), 2, "do not go together"),
        (("--devices", "0"), 2, "--devices has to be 1"),
        (("--once",), 12, "no line is there"),
        (("--once", "--lines", "/dev/null", "/dev/ttyUSB99"), 12, "no line is there: /dev/ttyUSB99"),
        (("--ledger", "mysql://x"), 2, "a ledger is a file or a postgresql: URL"),
    ],
)
def test_what_cannot_be(bench, words, code, says):
    done = bench.run(*words)
    assert (done.returncode, says in done.stderr) == (code, True), done


@pytest.mark.slow
def test_kill_9_at_every_step_changes_nothing_in_the_result(bench, lab):
    board = lab.board()
    places = ["claimed", "key", "issue", "install"]
    with staying({bench.directory / "lines" / "tty0": board}):
        for place in places:
            with bench.start() as process:
                _until(process, lambda one, place=place: _is_at(one, place))
                process.kill()
        done = bench.run()
    assert done.returncode == 0, done.stdout
    record = lab.record(board)
    assert record.state == "provisioned"
    assert record.facts["certificate_sha256"] == board.enrolled
    assert (lab.issued(board), len(board.certificates), len(board.made)) == (1, 1, 1)
    assert sum(one.kind == "provisioned" for one in lab.entries(device=board.serial_number)) == 1
    starts = lab.entries(kind="run-started")
    assert [one.outcome for one in starts].count("resumed") >= len(places) - 1
    assert list((bench.directory / "station").glob("*.json")) == []


def _is_at(event: dict, place: str) -> bool:
    """The step ended, or the state was reached; or there is nothing left to do."""
    if event["event"] in ("step-ended", "device-changed"):
        return place in (event.get("step"), event.get("state"))
    return event["event"] == "device-provisioned"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_devices_go_and_the_next_run_goes_on(bench, fleet, lab, number):
    with bench.start() as process:
        _until(process, lambda one: one["event"] == "step-ended" and one["step"] == "configure")
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    events = [json.loads(line) for line in out.splitlines()]
    (ended,) = [one for one in events if one.get("event") == "run-ended"]
    assert ended["reason"] in ("interrupted", "terminated")
    states = {lab.record_of(member["serial_number"]).state for member in fleet.report()["members"]}
    assert states <= {"released", "provisioned", "seen"}
    if {member["state"] for member in fleet.report()["members"]} != {"proved"}:
        assert bench.run().returncode == 0
    assert {member["state"] for member in fleet.report()["members"]} == {"proved"}


@pytest.mark.slow
def test_a_full_disk_ends_the_run_cleanly_and_it_can_be_resumed(bench, fleet, lab):
    """Files cannot grow beyond what a ledger needs for a few entries."""
    small = ("prlimit", "--fsize=110000")
    with bench.start(prefix=small) as process:
        _out, err = process.communicate(timeout=60)
    assert process.returncode in (9, 13), err
    assert "room" in err or "space" in err
    for member in fleet.report()["members"]:
        record = lab.record_of(member["serial_number"])
        assert record is None or record.state != "provisioned" or member["state"] == "proved"
    done = bench.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert {member["state"] for member in fleet.report()["members"]} == {"proved"}
    assert fleet.report()["provisioned_twice"] == []
    lab.entries()
